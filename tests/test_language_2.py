"""Each form of the language's second half, one small spec each, through every way out (`language_2.py`)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from language_2 import FORMS, text_of
from sampling import sampled

import cnnc
from cnnc.compiler.ops import op_words
from cnnc.compiler.since import is_new_layer
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source

torch = pytest.importorskip("torch")

ALL = [form for forms in FORMS.values() for form in forms]
PARTS = (
    "param width = 1.0\nparam act = relu\ndefault conv(norm=bn)\nblock unit(w) = conv3-{w*width}(act=act)\n"
)


class Corr(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, a: Any, b: Any) -> Any:
        return (a * b).sum(1, keepdim=True).expand(-1, self.k, -1, -1)


class Three(torch.nn.Module):  # type: ignore[name-defined, misc]
    def forward(self, a: Any, b: Any, c: Any) -> Any:
        return a + b * c


@pytest.fixture(autouse=True)
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file and the package that some forms use."""
    (tmp_path / "parts.cnn").write_text(PARTS)
    package: Any = ModuleType("forms_extern")
    package.Corr, package.Three = Corr, Three
    monkeypatch.setitem(sys.modules, "forms_extern", package)
    return tmp_path


def net_of(text: str, folder: Path) -> cnnc.Net:
    return cnnc.parse(text, name=str(folder / "spec.cnn"))


def layers(net: cnnc.Net) -> list[str]:
    """All layers, those with weights under their keys."""
    keyed = {node.module for node, _, _ in net.graph.tensors()}
    return [
        f"{node.module if node.module in keyed else ''} {node.op!r} {node.out}" for node in net.graph.nodes
    ]


@pytest.mark.parametrize("form", sampled(ALL, 3))
def test_it_is_written_and_read_again(form: str, beside: Path) -> None:
    """Its canonical layout is one, it expands and folds to itself, and it can be told and drawn."""
    text = text_of(form)
    net = net_of(text, beside)
    assert {d.code for d in net.warnings} <= ({"N104"} if "aspp" in form else set())
    assert all(claim.holds for claim in net.claims)
    written = format_source(Source("spec.cnn", text))
    assert format_source(Source("spec.cnn", written)) == written
    assert net_of(written, beside).expand() == net.expand()
    core = net_of(net.expand(), beside)
    assert core.expand() == net.expand()
    assert layers(core) == layers(net)
    assert sorted(layers(net_of(net.fold(), beside))) == sorted(layers(net))
    assert net.summary()
    for level in ("blocks", "layers"):
        assert net.draw("dot", level=level)
        assert net.draw("mmd", level=level)


def inputs_of(net: cnnc.Net) -> list[Any]:
    free = {"D": 4, "H": 8, "W": 9}
    shapes = net.inputs.values()
    return [torch.randn(2, *(free.get(str(n), n) for n in shape)) for shape in shapes]


def run(module: Any, inputs: list[Any]) -> list[Any]:
    torch.manual_seed(0)
    out = module(*inputs)
    return [out] if isinstance(out, torch.Tensor) else list(out)


@pytest.mark.parametrize("form", sampled(ALL, 8))
def test_its_forms_in_pytorch_agree(form: str, beside: Path) -> None:
    """Plain, expanded, for inference, and with checkpoints: values, and gradients of all inputs and weights."""
    from cnnc.backends.pytorch.verify import verify

    net = net_of(text_of(form), beside)
    assert [v for v in verify(net.graph) if not v.holds] == []
    inputs, plain = inputs_of(net), net.module()
    for key, value in plain.state_dict().items():
        if "running" in key:
            value.uniform_(0.5, 1.5)
    state = plain.state_dict()
    core = net_of(net.expand(), beside).module(state=state).eval()
    with torch.no_grad():
        values = run(plain.eval(), inputs)
        assert all(value.isfinite().all() for value in values)
        torch.testing.assert_close(run(core, inputs), values)
        if "noise" not in form:  # it is drawn in the order in which a map lies in memory
            other = net.module(optimize="inference", state=state).eval()
            torch.testing.assert_close(run(other, inputs), values, rtol=1e-3, atol=1e-4)
    try:
        kept = net.module(optimize="checkpoint", state=state)
    except cnnc.CnncError as error:
        if error.diagnostics[0].code != "E801":
            raise
        return  # there is nothing to checkpoint
    found = [gradients(module.train(), inputs) for module in (plain, kept)]
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-3)


def gradients(module: Any, inputs: list[Any]) -> list[Any]:
    module.zero_grad()
    inputs = [x.clone().requires_grad_() for x in inputs]
    sum(value.square().sum() for value in run(module, inputs)).backward()
    return [x.grad for x in (*inputs, *module.parameters())]


def test_every_new_layer_is_in_a_form() -> None:
    texts = " ".join(ALL).lower()
    assert [word for word in op_words() if is_new_layer(word) and word not in texts] == []


REFUSED = [
    ("param ws = (4, 8)\nconv3-{ws[2]}", "E306", "has 2 elements, 0 to 1"),
    ("param ws = (4, 8)\n[conv1-w for w in ws[3..2]]", "E306", "asks for element 3"),
    ("param ws = (4, 8)\nconv3-{ws+1}", "E303", "the tuple (4, 8); expected a number"),
    ("param ws = (4, 8)\n[conv3-4]*ws", "E303", "the tuple (4, 8); expected a number"),
    ("[conv1-_ for _ in 1..2]", "E202", "`_` takes a value that is not read"),
    ("_: conv3-4\n_ -> conv3-4", "E201", "opens a level without a name"),
    ("block b(*a, c) = conv3-4\nb(1)", "E110", "is the last"),
    ("[conv3-4 if C]", "E303", "compare it: C > 0"),
    ("param se = yes\n[conv3-4 if se == 1]", "E303", "the truth value yes with the number 1"),
    ("[id | [conv3-4 if C == 4]]", "E505", "`else id` to pass the input on, or with `else none`"),
    ("[[conv3-4 if C == 9 else none] | [+ conv1-4 for i in 1..0]]", "E505", "no branch is left"),
    ("[conv3-4 if C == 4 else none]", "E505", "a whole branch, and nothing else"),
    ("[none if C == 9 else conv3-4]", "E505", "a whole branch, and nothing else"),
    ("tensor(4, 1, 1)\nconv3-4", "E504", "needs a label"),
    ("input 4xHxW\nreshape(3, _)", "E408", "4*H*W values, and 3 does not divide them"),
    ("param n = 1\nslice(n-2..3)", "E303", "has a minus sign in the text"),
    ("slice(..C-9)", "E303", "has a minus sign in the text"),
    ("[id + conv3-4(pad=0)]", "E405", "`pad` (with zeros), which makes it 4x8x8"),
    ("[id + gap -> conv1-4]", "E405", "`stretch`, which makes it 4x8x8"),
    ("[conv3-4 -> pad + conv3-4(pad=0)]", "E503", "it only adds to a map"),
    ("upsample(1.5)", "E305", "resize(3/2)"),
    ("[id @ id]", "E401", "which are maps of one axis"),
    ("attend(q=[linear-6])", "E405", "q and k need equal channels"),
    ("conv3-4(pad=causal)", "E401", "a map of one axis"),
    ("maxpool3/2(pad=3)", "E303", "a window would hold nothing"),
    ("fc-8 -> lrn3", "E401", "a vector"),
    ("mean(axis=D)", "E303", "expected C, H or W"),
]


@pytest.mark.parametrize(("form", "code", "message"), REFUSED)
def test_what_is_refused(form: str, code: str, message: str, beside: Path) -> None:
    with pytest.raises(cnnc.CnncError) as raised:
        net_of(text_of(form), beside)
    (found,) = raised.value.diagnostics
    assert found.code == code
    assert message in f"{found.message} {found.hint}"


def test_a_name_handed_to_a_block_of_another_file(tmp_path: Path) -> None:
    """It means what it means where it is handed in."""
    declared = (
        "input 3x8x8\nblock mine(w) = conv3-w(norm=bn)\nshared s = conv3-4\n"
        'extern e = "parts:E" (shape=same, params=7, macs=0)\n'
    )
    (tmp_path / "lib.cnn").write_text(
        "block mine(w) = conv1-w\nblock two(b, c, d) = x: b(4) -> _: b(4) -> c -> c -> d\n"
    )
    (tmp_path / "outer.cnn").write_text('use two from "lib.cnn"\nblock outer(b, c, d) = y: two(b, c, d)\n')
    (tmp_path / "net.cnn").write_text(f'use outer from "outer.cnn"\n{declared}z: outer(mine, s, e)\n')
    (tmp_path / "flat.cnn").write_text(f"{declared}z: [y: [x: mine(4) -> _: mine(4) -> s -> s -> e]]\n")
    net, flat = (cnnc.load(tmp_path / name) for name in ("net.cnn", "flat.cnn"))
    assert [node.name for node in net.graph.nodes] == [node.name for node in flat.graph.nodes]
    assert [(node.op, node.inputs) for node in net.graph.nodes] == [
        (n.op, n.inputs) for n in flat.graph.nodes
    ]
