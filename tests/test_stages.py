"""Stages of a pipeline, weights in shares and data in parallel: several processes against one, in float64."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from graphs import graph_of

import cnnc
from cnnc.backends.pytorch.runtime import _loaded
from cnnc.dsl.diagnostics import CnncError

torch = pytest.importorskip("torch")
dist = pytest.importorskip("torch.distributed")
mp = pytest.importorskip("torch.multiprocessing")

pytestmark = pytest.mark.filterwarnings("ignore")

TINY = """
input 3x16x16
default conv(norm=bn)
block unit(w) = [conv3-w -> conv3-w + shortcut] -> relu
stem: conv3-4
[unit(8) -> pool -> unit(8) -> upsample(2) | stem] -> unit(6)
[conv3-4 -> conv3-4 | stem]
gap -> fc-5
"""


def network(name: str) -> cnnc.Net:
    if name == "tiny":
        return cnnc.parse(TINY, name="tiny")
    size = {"unet": "1x188x188", "densenet121": "3x64x64", "resnet50": "3x64x64", "resnet152": "3x64x64"}[
        name
    ]
    return cnnc.load(f"zoo:{name}", input=size)


def batches(net: cnnc.Net, count: int, images: int) -> list[Any]:
    """The same micro-batches in every process."""
    generator = torch.Generator().manual_seed(1)
    (shape,) = net.inputs.values()
    return [torch.randn(images, *shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def plain(net: cnnc.Net) -> Any:
    torch.manual_seed(0)
    return net.module().double()


def staged(net: cnnc.Net, count: int) -> Any:
    """The form in stages with the same weights."""
    model = net.module(stages=count).double()
    model.load_state_dict(plain(net).state_dict())
    return model


def loss_of(output: Any, target: Any) -> Any:
    return (output - target).square().mean()


Work = Callable[[int, int, str], None]


def started(rank: int, world: int, port: int, works: Sequence[Work], name: str) -> None:
    """One process of a group, which does its part of each work."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    for work in works:
        work(rank, world, name)
    dist.destroy_process_group()


def run(world: int, name: str, *works: Work) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(started, args=(world, port, works, name), nprocs=world)


def alike(found: Any, wanted: Any, what: str) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9, msg=lambda text: f"{what}: {text}")


def piped_in_channels_last(rank: int, world: int, name: str) -> None:
    """The same with another layout of weights and images."""
    piped(rank, world, name, torch.channels_last)


def piped(rank: int, world: int, name: str, layout: Any = torch.preserve_format) -> None:
    """A stage in each process, several micro-batches, against one process fed the same."""
    from torch.distributed.pipelining import ScheduleGPipe

    net = network(name)
    parts = batches(net, *((2, 1) if name == "unet" else (4, 2)))  # it is large, and has no norms
    reference = plain(net)
    model = staged(net, world).to(memory_format=layout)
    outputs = [reference(x) for x in parts]
    target = torch.zeros_like(torch.cat(outputs))
    sum(loss_of(y, torch.zeros_like(y)) / len(parts) for y in outputs).backward()

    stage = _loaded(net.pytorch(stages=world)).pipeline(model, rank, example=parts[0])
    sent: list[int] = []
    sends = stage.get_fwd_send_ops

    def counted(chunk: int) -> Any:
        found = sends(chunk)
        sent.append(len(found))
        return found

    stage.get_fwd_send_ops = counted
    schedule = ScheduleGPipe(stage, len(parts), loss_fn=loss_of)
    if rank == 0:
        schedule.step(torch.cat(parts).to(memory_format=layout))
    elif rank == world - 1:
        alike(schedule.step(target=target), torch.cat(outputs), "output")
    else:
        schedule.step()
    mine = f"stage{rank + 1}."
    wanted = {key: tensor.grad for key, tensor in reference.named_parameters()}
    wanted |= dict(reference.named_buffers())  # running statistics moved once for each micro-batch
    found = {key: tensor.grad for key, tensor in model.named_parameters()} | dict(model.named_buffers())
    for key, tensor in found.items():
        if key.startswith(mine):
            alike(tensor, wanted[key.removeprefix(mine)], key)
    going = model.STAGES[rank][2] if rank + 1 < world else ()
    assert set(sent) == {len(going)} == {len(set(going))}


def in_parallel(rank: int, world: int, name: str) -> None:
    """The data in shares, by DDP and by `shard`, against the mean gradients of the same batches in one process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.nn.parallel import DistributedDataParallel

    net = network(name)
    parts = batches(net, world, 1 if name == "unet" else 2)
    reference = plain(net)
    wanted = [reference(x) for x in parts]
    sum(loss_of(y, torch.zeros_like(y)) / world for y in wanted).backward()
    gradients = {key: parameter.grad for key, parameter in reference.named_parameters()}
    for way in ("ddp", "shard"):
        model = staged(net, world)
        if way == "ddp":
            shared = DistributedDataParallel(
                model
            )  # kept: its hooks die with it, and nothing would be reduced
        else:
            mesh = init_device_mesh("cpu", (world,))
            shared = _loaded(net.pytorch(stages=world)).shard(model, mesh)
        output = shared(parts[rank])
        loss_of(output, torch.zeros_like(output)).backward()
        alike(output, wanted[rank], f"{way}: output")
        for key, parameter in model.named_parameters():
            whole = parameter.grad.full_tensor() if way == "shard" else parameter.grad
            alike(whole, gradients[key.partition(".")[2]], f"{way}: {key}")


def test_a_pipeline_of_two() -> None:
    run(2, "tiny", piped, piped_in_channels_last)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "resnet50", "unet", "densenet121"])
def test_two_processes_are_one_on_known_networks(name: str) -> None:
    run(2, name, piped, in_parallel)


@pytest.mark.slow
def test_a_pipeline_of_four() -> None:
    run(4, "resnet50", piped)


@pytest.mark.parametrize("name", ["resnet50", "unet", "densenet40_k12", "googlenet_torchvision", "siamese"])
def test_stages_have_the_plain_weights_and_outputs(name: str) -> None:
    net = cnnc.load(f"zoo:{name}")
    if name == "siamese":
        with pytest.raises(CnncError, match=r"E801.*shared module"):
            net.pytorch(stages=2)
        return
    for count in (1, 3):
        source = net.pytorch(stages=count)
        with torch.device("meta"):
            model = net.module(stages=count)
        keys = [key.partition(".")[2] for key in model.state_dict()]
        assert sorted(keys) == sorted(key for _, key, _ in net.graph.tensors())
        assert source.count("class Stage") == count == len(model.STAGES)


LIKE_A_STAGE = """
param w = 8
input 3x16x16
stage1: [conv3-w -> x: conv3-{2*w}]
x: conv3-w
gap -> fc-3
"""


@pytest.mark.parametrize("text", [TINY, LIKE_A_STAGE])
def test_weights_go_both_ways(text: str) -> None:
    """Also where the plain names look like those of stages, and where the model is part of another."""
    net = cnnc.parse(text)
    plain_one, model = net.module(), net.module(stages=3)
    weights = plain_one.state_dict()
    model.load_state_dict(weights)
    found = model.plain_state_dict()
    assert list(found) == list(weights)
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    in_parts = [model.get_submodule(name).state_dict() for name, _, _ in model.STAGES]
    assert [key for part in in_parts for key in part] == list(weights)

    other = net.module(stages=3)
    other.load_state_dict(model.state_dict())
    around, around_plain = torch.nn.ModuleList([net.module(stages=2)]), torch.nn.ModuleList([plain_one])
    around.load_state_dict(around_plain.state_dict())
    for one in (other, around[0]):
        assert all(torch.equal(one.plain_state_dict()[key], weights[key]) for key in weights)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(dict(list(weights.items())[1:]))


def test_stages_take_the_params_that_the_plain_form_takes() -> None:
    net = cnnc.parse(LIKE_A_STAGE)
    half, half_plain = type(net.module(stages=3))(w=4), type(net.module())(w=4)
    half.load_state_dict(half_plain.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(half.eval()(x), half_plain.eval()(x))


@pytest.mark.parametrize(
    "line", ["[conv3-{4*n}]*n", "[conv3-{4*n} if n > 2 else conv5-{4*n} -> conv3-{4*n}]"]
)
def test_a_param_that_decides_what_is_cut_stays_fixed(line: str) -> None:
    net = cnnc.parse(f"param n = 3\ninput 3x16x16\nconv3-8 -> {line} -> gap -> fc-3\n")
    for model in (net.module(), net.module(stages=3)):
        with pytest.raises(TypeError):
            type(model)(n=2)


def test_stages_compute_what_the_plain_form_computes() -> None:
    net = network("tiny")
    reference, x = plain(net), batches(net, 1, 3)[0]
    for count in (2, 4):
        alike(staged(net, count)(x), plain(net)(x), f"{count} stages")
    assert reference.training


def test_a_tensor_that_several_stages_read_goes_on_once() -> None:
    graph = graph_of(
        "input 3x8x8\na: conv3-4\nb: conv3-4\nc: conv3-4\n[a | b | c] -> d: conv3-4\n[a | d | b] -> conv3-2\n"
    )
    model = cnnc.Net(graph).module(stages=4)
    assert all(len(set(going)) == len(going) for _, _, going in model.STAGES)
    x = torch.randn(2, 3, 8, 8)
    assert model(x).shape == (2, 2, 8, 8)


def test_the_stages_of_resnet152_are_balanced() -> None:
    assert cnnc.load("zoo:resnet152").split(4).balance <= 1.15


def test_what_has_no_stages() -> None:
    with pytest.raises(CnncError, match=r"E407"):
        cnnc.parse("input 3xHxW\nconv3-4 -> conv3-4\n").pytorch(stages=2)
    with pytest.raises(CnncError, match=r"E303"):
        cnnc.parse("input 3x8x8\nconv3-4(act=none)\n").pytorch(stages=2)
    with pytest.raises(ValueError, match="plain form"):
        network("tiny").pytorch(stages=2, optimize="inference")
