"""A model on several GPUs: stages of a pipeline, and weights in shares."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.pipelining import PipelineStage
from torch.func import functional_call


class InStages(nn.Module):
    """A model whose children are stages.

    A tensor's name is that in the plain form after its stage's. `load_state_dict` takes
    the plain names too, and `plain_state_dict` gives them.
    """

    STAGES: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    BLOCKS: tuple[type[nn.Module], ...]

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(named_by_stage)

    def plain_state_dict(self) -> dict[str, Any]:
        return {key.partition(".")[2]: x for key, x in self.state_dict().items()}


def named_by_stage(
    model: nn.Module, state: dict[str, Any], prefix: str, *_: Any
) -> None:
    """Give the tensors of the plain form the names that they have in stages."""
    names = {prefix + key.partition(".")[2]: prefix + key for key in model.state_dict()}
    own = [key for key in state if key.startswith(prefix)]
    if all(key in names for key in own):
        state.update({names[key]: state.pop(key) for key in own})


class Carried(nn.Module):
    """A stage among others: beside what it makes it hands on what later stages read.

    What crosses is contiguous, as gloo requires, whatever the layout within stages.
    """

    def __init__(
        self, stage: nn.Module, reads: tuple[int, ...], hands_on: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.stage = stage
        self.reads = reads
        self.hands_on = hands_on

    def forward(self, *tensors: Tensor) -> Any:
        made = self.stage(*[tensors[i] for i in self.reads])
        every = (*tensors, *(made if isinstance(made, tuple) else (made,)))
        found = tuple(every[i].contiguous() for i in self.hands_on)
        return found if len(found) > 1 else found[0]


def pipeline(
    model: Any, stage: int, group: Any = None, *, example: Any
) -> PipelineStage:
    """Stage `stage` of a model, counted from 0, for torch.distributed.pipelining.

    `example` is a micro-batch of the model's inputs, a tensor or several; one on the
    meta device will do. What crosses is worked out from it (under autocast: inside
    that), so no running statistic moves. A tensor that later stages read crosses each
    cut once. The stage stays a child of the model, so `model.state_dict()` has its
    weights.
    """
    device = next(model.get_submodule(model.STAGES[stage][0]).parameters()).device
    tensors = example if isinstance(example, tuple | list) else (example,)
    with FakeTensorMode() as mode, torch.enable_grad():
        tensors = tuple(
            torch.empty(x.shape, dtype=x.dtype, device=device) for x in tensors
        )
        crossing = [tensors]
        for name, reads, hands_on in model.STAGES[: stage + 1]:
            part = Carried(model.get_submodule(name), reads, hands_on)
            own = {**dict(part.named_parameters()), **dict(part.named_buffers())}
            fake: dict[str, Any] = {
                key: mode.from_tensor(tensor) for key, tensor in own.items()
            }
            made = functional_call(part, fake, crossing[-1])
            crossing.append(made if isinstance(made, tuple) else (made,))
        ends = [
            tuple(
                torch.empty_strided(
                    x.shape, x.stride(), dtype=x.dtype, device="meta"
                ).requires_grad_(x.requires_grad)
                for x in found
            )
            for found in crossing
        ]
    return PipelineStage(
        part, stage, len(model.STAGES), device, ends[-2], ends[-1], group=group
    )


def shard(model: Any, mesh: Any = None, **options: Any) -> Any:
    """The model with its weights in shares over a mesh's devices, block by block.

    `mesh` and `options` are those of torch.distributed.fsdp.fully_shard.
    """
    for module in reversed(list(model.modules())):
        if isinstance(module, model.BLOCKS):
            fully_shard(module, mesh=mesh, **options)
    for name, _, _ in model.STAGES:
        fully_shard(model.get_submodule(name), mesh=mesh, **options)
    fully_shard(model, mesh=mesh, **options)
    if mesh is not None and mesh.device_type == "cpu":  # gloo knows sums, and no means
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_force_sum_reduction_for_comms(True)
    return model
