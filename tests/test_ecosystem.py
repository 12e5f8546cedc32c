"""The generated modules in PyTorch's own tools: compilers, exporters, copies, parallel wrappers, precisions, hooks.

Small nets, so that this stays quick: one of each kind of forward the backend writes.
"""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cnnc

torch = pytest.importorskip("torch")

SPECS = {
    "chain": "input 3x16x16\n[[conv3-8]*2 -> pool]*2 -> fc-10",
    "residual": (
        "input 3x16x16\ndefault conv(norm=bn)\n"
        "block basic(w, s=1) = [conv3-w/s -> conv3-w + downsample: shortcut] -> relu\n"
        "layer1: [basic(8)]*2\nlayer2: [basic(16, 2) -> basic(16)]\ngap -> fc: fc-10"
    ),
    "dense": (
        "input 3x16x16\nblock layer(k) = [id | bn -> relu -> conv3-k(act=none)]\n"
        "block dense(n, k) = [layer{i}: layer(k) for i in 1..n]\n"
        "d1: dense(3, 4) -> pool -> d2: dense(5, 4) -> gap -> fc-10"
    ),
    "inception": "input 3x16x16\na: [conv1-4 | conv3-8 | maxpool3/1(pad=1) -> conv1-4] -> gap -> fc-10",
    "gate": "input 3x16x16\nuse se from std\nconv3-16 -> se -> gap -> fc-10",
    "unet": (
        "input 3x16x16\nblock level(w, inner) = conv3-w -> [id | pool -> inner -> tconv2-w/2] -> conv3-w\n"
        "level(4, [level(8, [level(16, [below: [conv3-32]])])]) -> conv1-10"
    ),
    "helpers": "input 4x25x25\nconv4-8/2(pad=same_tf) -> shuffle(2) -> elu"
    " -> [conv3-16/2 + shortcut(kind=pad)] -> sumpool2 -> [crop | conv3-8(pad=valid)] -> gap -> fc-10",
    "two heads": (
        "input image: 3x16x16\ninput mask: 1x16x16\nshared tower = [conv3-8 -> pool]\n"
        "[image | mask] -> conv3-3 -> left: tower\nimage -> right: tower\n"
        "[left + right] -> both: gap -> score: fc-10\nleft -> map: conv1-2\noutput score, map"
    ),
}


@pytest.fixture(params=SPECS)
def net(request: pytest.FixtureRequest) -> cnnc.Net:
    return cnnc.parse(SPECS[request.param])


def inputs_of(net: cnnc.Net, batch: int = 2) -> dict[str, Any]:
    torch.manual_seed(1)
    return {name: torch.randn(batch, *shape) for name, shape in net.inputs.items()}


def model_of(net: cnnc.Net) -> Any:
    torch.manual_seed(0)
    return net.module().eval()


def tensors(output: Any) -> list[Any]:
    return list(output) if isinstance(output, tuple) else [output]


def assert_same(got: Any, wanted: Any, **tolerance: float) -> None:
    for a, b in zip(tensors(got), tensors(wanted), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# --- compilers and exporters --------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_without_a_graph_break(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled(*xs.values()), model(*xs.values()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiles_with_inductor(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        assert_same(compiled(*xs.values()), model(*xs.values()), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_exports(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    program = torch.export.export(model, tuple(xs.values()))
    assert_same(program.module()(*xs.values()), model(*xs.values()))
    names = [spec.target for spec in program.graph_signature.input_specs if spec.target is not None]
    assert {n for n in names if not n.endswith("num_batches_tracked")} <= set(model.state_dict())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traces(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    with torch.no_grad():
        traced = torch.jit.trace(model, tuple(xs.values()))
        other = inputs_of(net, batch=3)
        assert_same(tuple(traced(*other.values())) if len(net.outputs) > 1 else traced(*other.values()),
                    model(*other.values()))  # fmt: skip


def test_traces_symbolically(net: cnnc.Net) -> None:
    """torch.fx follows forward wherever it asks no tensor for its size."""
    if any(node.op.kind in ("crop",) or "same_tf" in str(node.op) for node in net.graph.layers):
        pytest.skip("its forward reads the size of a map")
    model, xs = model_of(net), inputs_of(net)
    traced = torch.fx.symbolic_trace(model)
    assert_same(traced(*xs.values()), model(*xs.values()))


# --- copies ---------------------------------------------------------------------------------


def test_deep_copies(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    twin = copy.deepcopy(model)
    assert_same(twin(*xs.values()), model(*xs.values()))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert any(bool(p.any()) for p in model.parameters())


@pytest.fixture
def written(net: cnnc.Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the written file, imported as a user would."""
    (tmp_path / "written_net.py").write_text(net.pytorch())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "written_net", raising=False)
    module = importlib.import_module("written_net")
    yield getattr(module, type(net.module()).__name__)
    sys.modules.pop("written_net", None)


def test_pickles_by_its_file(net: cnnc.Net, written: Any) -> None:
    model, xs = written().eval(), inputs_of(net)
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is written
    assert_same(again(*xs.values()), model(*xs.values()))


# --- parallel wrappers, precisions, layouts --------------------------------------------------


def test_data_parallel(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    assert_same(torch.nn.DataParallel(model)(*xs.values()), model(*xs.values()))


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_distributed_data_parallel(net: cnnc.Net, process_group: None) -> None:
    model, xs = model_of(net).train(), inputs_of(net)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    torch.stack([out.square().mean() for out in tensors(wrapped(*xs.values()))]).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_autocasts_to_bfloat16(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        got = model(*xs.values())
    assert torch.bfloat16 in {out.dtype for out in tensors(got)}
    with torch.no_grad():
        wanted = model(*xs.values())
    for a, b in zip(tensors(got), tensors(wanted), strict=True):
        torch.testing.assert_close(a.float(), b, rtol=0.05, atol=0.05 * float(b.abs().max()))


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double], ids=str)
def test_other_precisions(net: cnnc.Net, dtype: Any) -> None:
    model, xs = model_of(net), inputs_of(net)
    with torch.no_grad():
        wanted = model(*xs.values())
        got = copy.deepcopy(model).to(dtype)(*(x.to(dtype) for x in xs.values()))
    for a, b in zip(tensors(got), tensors(wanted), strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.float(), b, rtol=0.05, atol=0.05 * float(b.abs().max()))


def test_channels_last(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    wanted = model(*xs.values())
    model = model.to(memory_format=torch.channels_last)
    got = model(*(x.to(memory_format=torch.channels_last) for x in xs.values()))
    assert_same(got, wanted, rtol=1e-4, atol=1e-5)


def test_channels_last_is_kept() -> None:
    """No step of forward falls back to the other layout on its way."""
    for name in ("chain", "residual", "dense", "inception"):
        net = cnnc.parse(SPECS[name])
        model = model_of(net).to(memory_format=torch.channels_last)
        lost: list[str] = []

        def watch(label: str, lost: list[str] = lost) -> Callable[..., None]:
            def hook(_: object, __: object, out: Any) -> None:
                if out.dim() == 4 and not out.is_contiguous(memory_format=torch.channels_last):
                    lost.append(label)

            return hook

        for label, child in model.named_modules():
            if label:
                child.register_forward_hook(watch(label))
        model(*(x.to(memory_format=torch.channels_last) for x in inputs_of(net).values()))
        assert not lost


# --- torch.func, meta, hooks -------------------------------------------------------------------


def test_functional_call(net: cnnc.Net) -> None:
    model, xs = model_of(net), inputs_of(net)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    got = torch.func.functional_call(model, state, tuple(xs.values()))
    model.load_state_dict(state)
    assert_same(got, model(*xs.values()))


def test_per_sample_gradients(net: cnnc.Net) -> None:
    """vmap over grad: forward treats every image by itself."""
    model, xs = model_of(net), inputs_of(net)
    params = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(params: dict[str, Any], *images: Any) -> Any:
        out = torch.func.functional_call(model, (params, buffers), tuple(i.unsqueeze(0) for i in images))
        return tensors(out)[0].square().mean()

    each = torch.func.vmap(torch.func.grad(loss), (None, *(0 for _ in xs)))(params, *xs.values())
    first = torch.func.grad(loss)(params, *(x[0] for x in xs.values()))
    for name, gradient in first.items():
        torch.testing.assert_close(each[name][0], gradient, rtol=1e-3, atol=1e-5)


def test_is_built_on_the_meta_device_and_filled_later(net: cnnc.Net) -> None:
    with torch.device("meta"):
        empty = net.module()
    assert {t.device.type for t in empty.state_dict().values()} == {"meta"}
    model, xs = model_of(net), inputs_of(net)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert_same(empty.eval()(*xs.values()), model(*xs.values()))
    with torch.device("meta"):
        shapes = net.module()(*(torch.empty_like(x, device="meta") for x in xs.values()))
    assert [tuple(out.shape[1:]) for out in tensors(shapes)] == list(net.outputs.values())


def test_hooks_by_the_specs_labels() -> None:
    """A label of the spec that names a module finds it, and its hook sees the sizes of the analysis."""
    net = cnnc.parse(SPECS["residual"])
    model, seen = model_of(net), {}
    for label in ("layer1", "layer2", "layer2.0.conv1", "layer2.0.downsample", "fc"):
        name = label

        def hook(_: object, __: object, out: Any, name: str = name) -> None:
            seen[name] = tuple(out.shape[1:])

        model.get_submodule(label).register_forward_hook(hook)
    model(*inputs_of(net).values())
    assert seen == {name: net.graph.nodes[net.graph.labels[name]].out for name in seen}
    assert len(seen) == 5


# --- calling -------------------------------------------------------------------------------------


def test_inputs_by_name_and_outputs_by_name() -> None:
    net = cnnc.parse(SPECS["two heads"])
    model, xs = model_of(net), inputs_of(net)
    out = model(mask=xs["mask"], image=xs["image"])
    assert out._fields == ("score", "map")
    assert out.score.shape == (2, 10)
    assert out.map.shape == (2, 2, 8, 8)
    assert_same(out, model(xs["image"], xs["mask"]))


def test_a_single_input_by_name() -> None:
    net = cnnc.parse("input image: 3x8x8\nconv3-4 -> gap -> fc-2")
    model, xs = model_of(net), inputs_of(net)
    assert_same(model(image=xs["image"]), model(xs["image"]))


def test_runs_as_a_program(net: cnnc.Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = net.pytorch()
    exec(compile(source, "net.py", "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert all(str((1, *shape)) in shown for shape in net.outputs.values())
