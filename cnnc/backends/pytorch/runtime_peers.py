"""What a network is timed beside: the same weights and inputs in torchvision, torch.compile, ONNX Runtime or OpenVINO."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnc.backends.pytorch.runtime import module
from cnnc.compiler.graph import Graph
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    import torch

Run = Callable[..., Any]


def peer(name: str, graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Run:
    """A forward pass of the network elsewhere: it takes the inputs. Raises CnncError (E802) where there is none."""
    return PEERS[name](graph, state, inputs)


def _torchvision(graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Run:
    models = _package("torchvision.models", "torchvision")
    name = graph.name.removesuffix("_torchvision")
    if name not in models.list_models(module=models):
        raise fail("E802", f"torchvision has no network `{name}`", hint="--versus compile")
    arguments = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    built = models.get_model(name, weights=None, **arguments)
    try:
        built.load_state_dict(state, strict=True)
    except RuntimeError:
        message = f"torchvision's `{name}` does not take these weights: its layers are others"
        raise fail("E802", message, hint="--versus compile") from None
    run: Run = _placed(built, inputs)
    return run


def _compiled(graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Run:
    import torch

    mode = "reduce-overhead" if inputs[0].is_cuda and len(inputs[0]) == 1 else None
    built: Run = torch.compile(_placed(module(graph, state=state), inputs), mode=mode, dynamic=False)
    return built


def _onnxruntime(graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Run:
    import torch

    ort = _package("onnxruntime", "onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.force_spinning_stop", "1")  # or its threads slow what runs next
    provider = "CUDAExecutionProvider" if inputs[0].is_cuda else "CPUExecutionProvider"
    if provider not in ort.get_available_providers():
        raise fail("E802", f"ONNX Runtime has no {provider} here", hint="--device cpu")
    session = ort.InferenceSession(_onnx(graph, state, inputs), options, providers=[provider])
    names = [given.name for given in session.get_inputs()]

    def run(*given: torch.Tensor) -> Any:
        arrays = {name: x.contiguous().cpu().numpy() for name, x in zip(names, given, strict=True)}
        return session.run(None, arrays)

    return run


def _openvino(graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> Run:
    import torch

    if inputs[0].is_cuda:
        raise fail("E802", "OpenVINO does not run on this device", hint="--device cpu")
    vino = _package("openvino", "openvino")
    # Else it computes in bfloat16 where the CPU has units for it.
    precision = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[inputs[0].dtype]
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    core = vino.Core()
    compiled = core.compile_model(core.read_model(_onnx(graph, state, inputs)), "CPU", settings)

    def run(*given: torch.Tensor) -> Any:
        return compiled([x.contiguous().numpy() for x in given])

    return run


PEERS: Mapping[str, Callable[[Graph, Mapping[str, Any], Sequence[Any]], Run]] = {
    "torchvision": _torchvision, "compile": _compiled, "onnxruntime": _onnxruntime, "openvino": _openvino,
}  # fmt: skip
"""By the names that `cnnc bench --versus` takes."""


def _onnx(graph: Graph, state: Mapping[str, torch.Tensor], inputs: Sequence[torch.Tensor]) -> bytes:
    """The plain form as ONNX."""
    import torch

    for needed in ("onnx", "onnxscript"):
        _package(needed, needed)
    built = _placed(module(graph, state=state), [x.contiguous() for x in inputs])
    file = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(built, tuple(x.contiguous() for x in inputs), dynamo=True)
        program.save(file)
    return file.getvalue()


def _placed(built: Any, inputs: Sequence[torch.Tensor]) -> Any:
    """A module for inference where its inputs are, and in their type and layout."""
    import torch

    x = inputs[0]
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    built = built.eval().to(x.device, x.dtype)
    return built.to(memory_format=torch.channels_last) if last else built


def _package(name: str, package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except (ImportError, RuntimeError):  # of operators that do not fit the torch that is here
        hint = f"pip install {package}"
        raise fail("E802", f"`{package}` is not installed, or cannot be imported", hint=hint) from None
