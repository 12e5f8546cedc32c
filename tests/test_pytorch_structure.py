"""The shape of the generated code: one class for a block, loops for repeats, arithmetic and params kept.

The oracle for what a constructor is given is the compiler itself: the class that is built with
another number has the tensors of the spec compiled with that number.
"""

from __future__ import annotations

import itertools
import re
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from reruns import printed_under_seeds
from sampling import sampled

import cnnc
from cnnc.backends.pytorch.write import to_pytorch
from cnnc.compiler.ops.regularisation import Dropout, DropPath, SpatialDropout

torch = pytest.importorskip("torch")

ZOO = sorted(p.stem for p in (Path(cnnc.__file__).parent / "specs").glob("*.cnn"))


def classes(source: str) -> list[str]:
    return re.findall(r"^class (\w+)", source, re.M)


def executed(source: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(source, "net.py", "exec"), scope)
    return scope


def tensors(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def wanted(net: cnnc.Net) -> dict[str, tuple[int, ...]]:
    """Names and shapes of every tensor by the analysis."""
    out: dict[str, tuple[int, ...]] = {}
    for node in net.graph.nodes:
        if node.module == node.name:
            ins = net.graph.ins(node)
            for name, shape in {**node.op.params(*ins), **node.op.state(*ins)}.items():
                out[f"{node.name}.{name}"] = tuple(map(int, shape))
    return out


def agrees(net: cnnc.Net) -> str:
    """The source, once it has been built: its tensors are the analysis's, and so is its output's shape."""
    source = net.pytorch()
    with torch.device("meta"):
        model = executed(source)[classes(source)[-1]]().eval()
        outputs = model(*(torch.empty(1, *shape) for shape in net.inputs.values()))
    assert tensors(model) == wanted(net)
    shapes = [tuple(o.shape[1:]) for o in (outputs if isinstance(outputs, tuple) else [outputs])]
    assert shapes == list(net.outputs.values())
    return source


# --- one class for a block ------------------------------------------------------------------

NUMBERED = {"unet": "Level2"}
"""Classes that stay apart: U-Net's innermost level has its convolutions among its own. NASNet's cells are padded by side where their
map is even, and skip a projection where it is not needed: another matter, and left out."""


TWINS = (
    "nasnet",
    "ddpm_cifar10",
    "wavenet",
)
"""Families whose blocks still become several classes, where a person would have written one.

NASNet's cells fit the map before to their own where its size says so, which is no number that a constructor has. DDPM's units are
called otherwise by their children's names. The last of WaveNet's units gives one tensor, the others two.
"""


def test_what_is_handed_to_a_child_of_both_arms_is_one_parameter() -> None:
    text = """
        input 4x16x16
        block low(w) = conv3-w -> [id + avgpool{H} -> upsample(H)]
        block unit(w, deep) = a: low(w) -> [b: [conv1-w + conv3-w] if deep]
        unit(4, yes) -> maxpool2 -> unit(6, no) -> maxpool2 -> unit(6, yes)
        """
    source = agrees(cnnc.parse(text))
    assert [name for name in classes(source) if name.startswith("Unit")] == ["Unit"]
    assert "self.a = Low(in_channels, w, kernel_size=kernel_size, scale_factor=scale_factor)" in source
    assert "self.unit2 = Unit(4, 6, False, kernel_size=8, scale_factor=8)" in source


def test_a_flag_is_kept_under_its_own_name() -> None:
    source = cnnc.load("zoo:ddpm_cifar10").pytorch()
    assert "        self.attends = attends\n" in source
    assert "        if self.attends:\n            x = self.block(x, x2)\n" in source


@pytest.mark.parametrize("name", sampled([name for name in ZOO if not name.startswith(TWINS)], 2))
def test_no_block_of_the_zoo_becomes_two_classes(name: str) -> None:
    found = classes(cnnc.load(f"zoo:{name}").pytorch())
    copies = [c for c in found if c[-1].isdigit() and c.rstrip("0123456789") in found]
    assert copies == ([NUMBERED[name]] if name in NUMBERED else [])


@pytest.mark.parametrize(
    ("layer", "written"),
    [
        ("maxpool3/2(pad=same_tf)", "SameTFMaxPool2d(3, stride=2)"),
        ("avgpool3/2(pad=same_tf, count_pad=no)", "SameTFAvgPool2d(3, stride=2, count_include_pad=False)"),
        ("conv3-w/2(pad=same_tf)", "SameTFConv2d(in_channels, w, 3, stride=2)"),
        ("sepconv3-w/2(pad=same_tf)", "SameTFSeparableConv2d(in_channels, w, 3, stride=2)"),
    ],
)
def test_a_block_on_even_and_odd_maps_is_one_class(layer: str, written: str) -> None:
    text = f"input 3x19x19\nblock half(w, s) = {layer} -> bn\nhalf(4, 2) -> half(6, 2) -> conv3-6 -> half(8, 1)\n"
    source = agrees(cnnc.parse(text))
    assert [name for name in classes(source) if name.startswith("Half")] == ["Half"]
    assert written in source
    source = agrees(cnnc.parse(text.replace(layer, "conv3-w/s(pad=same_tf)")))
    assert "nn.Conv2d(in_channels, w, 3, stride=s, padding=1)" in source  # without a stride no map is copied


def test_a_dense_block_is_a_loop() -> None:
    source = cnnc.load("zoo:densenet121").pytorch()
    assert classes(source) == ["Denselayer", "Transition", "Denseblock", "Densenet121"]
    assert "        for i in range(n):\n" in source
    assert 'self.add_module(f"denselayer{i + 1}", Denselayer(in_channels + i * k, k))' in source
    assert '("denseblock3", Denseblock(256, 24, 32)),' in source
    assert source.count("\n") < 100


UNIT = "block unit(d) = [x: id\n z: conv3-8(dilation=d)\n skip: conv1-6\n [x + z -> conv1-8]]\n"


@pytest.mark.parametrize(
    ("text", "made", "called"),
    [
        ("[[id + conv3-4 -> conv3-4]]*8", 'self.add_module(f"relu{i + 1}", nn.ReLU(', 'x = x + getattr(self, f"conv{2 * i + 2}")'),
        ("[c{i}: [conv3-4 + conv1-4(bias=no)] for i in 3..12]", 'f"c{i}"', 'x = getattr(self, f"c{i}")(x)'),
        ("[conv3-4(dilation=3*i) for i in 1..12]", "padding=3 * i", ""),
        (UNIT + "conv1-8\n[u{i}: unit(2**(i%3)) for i in 0..8]\n[u8 + [+ u{i}.skip for i in 0..8] -> conv1-8]", "Unit(8, 2 ** (i % 3))", "skip = skip + "),
    ],
)  # fmt: skip
def test_a_long_repeat_of_the_classs_own_children_is_a_loop(
    text: str, made: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = cnnc.parse(f"input 4x9x9\n{text}\n")
    source = agrees(net)
    assert source.count("for i in range(") == 2
    assert made in source
    assert called in source
    with torch.device("cpu"):
        loops = executed(source)["Net"]().eval()
        monkeypatch.setattr("cnnc.backends.pytorch.body.rolled", lambda *lines: lines[:2])
        plain = executed(net.pytorch())["Net"]().eval()
    assert [*loops.state_dict()] == [*plain.state_dict()]
    plain.load_state_dict(loops.state_dict())
    x = torch.randn(2, 4, 9, 9)
    assert torch.equal(loops(x), plain(x))


@pytest.mark.parametrize(
    "body",
    [
        "[conv3-4]*3",
        "[conv3-w for w in 3, 1, 4, 1, 5, 9, 2, 6, 5, 3]",
        "[c{i%5}x{i//5}: conv3-4 for i in 0..9]",
        "c: conv3-4 -> [again(c)]*9",
    ],
)
def test_a_short_or_irregular_repeat_is_written_out(body: str) -> None:
    assert "for i in" not in agrees(cnnc.parse(f"input 4x9x9\n{body}\n"))


@pytest.mark.parametrize(
    "body",
    [
        "[c{i}: [conv3-4 + conv1-4] for i in 1..400]\n[| c{i} for i in 1..400]",
        "[[id + [conv3-4]*4 -> conv1-4]]*100",
        "[[id + [conv3-4]*9 -> conv1-4(bias=no)]]*40 -> [[id + [conv3-4]*9 -> conv3-4]]*40",
    ],
)
def test_to_look_for_loops_costs_little(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = cnnc.parse(f"input 4x9x9\n{body}\n").graph

    def seconds() -> float:
        start = time.process_time()
        to_pytorch(graph)
        return time.process_time() - start

    with_loops = min(seconds() for _ in range(3))
    monkeypatch.setattr("cnnc.backends.pytorch.body.rolled", lambda *lines: lines[:2])
    assert with_loops < 3 * min(seconds() for _ in range(3)) + 0.05


REPEATED = (
    "[[conv3-w + id]]*n",
    "[[conv3-w + id]]*n -> mid: conv1-4 -> [[bn + id] -> d{i}: conv1-C for i in 1..n]",
    "[[conv3-w -> bn -> conv3-w + id]]*n",
    "[[conv3-w(act=relu) + conv1-w(act=none)] -> bn]*n",
    "[[id | conv1-{2*w} -> c{i}: conv3-w] for i in 1..n] -> last: bn",
    "[[id | chunk(C//w, C//w - 1) -> conv3-w -> bn]]*n -> last: conv1-w",
    "x: conv1-w\n[[id + x -> conv3-w]]*n",
    "x: conv1-w\ny: conv1-w\n[a{i}: [conv3-w + x] for i in 1..n]\n[id + x]",
    "[[[conv3-w + id]]*2 -> bn]*n -> [maxpool3/1(pad=1) + id]",
    "x: conv1-w\ny: conv1-w\n[[x & y] + conv3-w]*n",
    "[conv3-w]*n",
    "conv1-w -> [conv3-w -> bn]*n -> conv1-w",
    "a: conv1-w -> [c{i}_x: conv3-w for i in 1..n] -> b: conv1-w",
)
JOINED = (
    "[c{i}: conv3-w for i in 1..n]\n[| c{i} for i in 1..n] -> last: conv1-w",
    "x: conv1-w\n[| conv3-w(dilation=i) for i in 1..n] -> last: conv1-w",
    "x: conv1-w\n[c{2*i}: [conv3-w -> bn] for i in 1..n]\n[| c{2*i} for i in 1..n] -> [id | x] -> last: conv1-w",
)


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        *itertools.product(REPEATED, ["b(4, 2) -> b(4, 3)", "b(4, 1) -> b(4, 2)", "b(4, 4) -> b(4, 1) -> b(4, 3)"]),
        *itertools.product(REPEATED[3:4], ["b(4, 3) -> b(6, 1) -> b(5, 2)"]),
        *itertools.product(JOINED, ["b(4, 2) -> b(4, 3)", "b(6, 4) -> b(4, 4) -> b(4, 2)"]),
    ],
)  # fmt: skip
def test_blocks_that_repeat_something_more_or_less_often_are_one_class(
    body: str, calls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"input 4x9x9\ndefault conv(act=none)\nblock b(w, n) = [\n{body}\n]\n{calls} -> conv1-3\n"
    net = cnnc.parse(text)
    source = agrees(net)
    assert [name for name in classes(source) if name.rstrip("0123456789") == "B"] == ["B"], source
    assert "in range(n" in source
    same(source, net, monkeypatch)


def same(source: str, net: cnnc.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the model gives what the one without loops gives, from the same weights, under the same names."""
    loops = executed(source)["Net"]().eval()
    monkeypatch.setattr("cnnc.backends.pytorch.plan.with_loops", lambda groups, _: groups)
    monkeypatch.setattr("cnnc.backends.pytorch.body.rolled", lambda *lines: lines[:2])
    written = net.pytorch()
    plain = executed(written)["Net"]().eval()
    assert [*loops.state_dict()] == [*plain.state_dict()]
    plain.load_state_dict(loops.state_dict())
    x = torch.randn(2, *net.inputs["input"])
    assert torch.equal(loops(x), plain(x))


def test_yolo_has_one_class_for_its_blocks() -> None:
    source = agrees(cnnc.load("zoo:yolov8n"))
    assert "self.c3 = C2f(64, 64, True, 2)" in source
    assert "        self.adds = skip\n" in source
    assert 'self.add_module(f"c2f_unit{i + 1}", C2fUnit(w // 2, w // 2, skip))' in source
    assert "self.cv2 = nn.Conv2d(w + n * (w // 2), w, 1, bias=False)" in source
    assert (
        """
        for i in range(self.n):
            y = x[:, -(self.w // 2) :]
            x = torch.cat([x, getattr(self, f"c2f_unit{i + 1}")(y)], 1)
"""
        in source
    )


@pytest.mark.parametrize(
    ("asked", "written"),
    [("d == yes", "if d:"), ("d == no", "if not d:"), ("d != yes", "if not d:"), ("d", "if d:")],
)
def test_a_flag_is_asked_as_it_is(asked: str, written: str) -> None:
    text = f"input 3x9x9\nblock b(w, d) = [conv3-w -> bn if {asked} else conv1-w -> conv3-w]\nb(4, yes) -> b(4, no) -> gap\n"
    source = agrees(cnnc.parse(text))
    assert f"        {written}\n" in source


def test_what_all_turns_give_is_joined_from_a_list() -> None:
    text = "input 4x9x9\ndefault conv(act=none)\nblock b(w, n) = [\n{}\n]\nb(4, 2) -> b(4, 3)\n"
    source = agrees(cnnc.parse(text.format("[| conv3-w(dilation=i) for i in 1..n]")))
    assert """
        ys: list[Tensor] = []
        for i in range(self.n):
            y = getattr(self, f"conv{i + 1}")(x)
            ys.append(y)
        return torch.cat(ys, 1)
""" in source  # fmt: skip
    source = agrees(cnnc.parse(text.format("[c{i}: conv3-w for i in 1..n]\n[| c{i} for i in 1..n]")))
    assert """
        x = self.c1(x)
        ys = [x]
        for i in range(self.n - 1):
            x = getattr(self, f"c{i + 2}")(x)
            ys.append(x)
        return torch.cat(ys, 1)
""" in source  # fmt: skip


def test_a_label_without_a_number_is_no_loop_of_one_turn() -> None:
    body = "a: conv1-w -> [x: conv3-w]*n -> c: conv1-w"
    agrees(cnnc.parse(f"input 4x9x9\ndefault conv(act=none)\nblock b(w, n) = [{body}]\nb(4, 1) -> b(6, 1)\n"))


def test_arithmetic_of_known_numbers_is_carried_out() -> None:
    assert "Cna(3, 3, 32, 2)," in cnnc.load("zoo:efficientnet_b0").pytorch()
    assert "divisible(32 * width, 8)" in cnnc.load("zoo:mobilenet_v2").pytorch()


def test_repeats_of_one_kind_are_a_comprehension() -> None:
    source = cnnc.load("zoo:densenet100_k12").pytorch()
    assert "super().__init__(*[DenseLayer(in_channels + i * k, k) for i in range(n)])" in source
    source = cnnc.load("zoo:resnet34_paper").pytorch()
    assert "super().__init__(Basic(in_channels, w, s), *[Basic(w, w) for _ in range(n - 1)])" in source


@pytest.mark.parametrize(
    "body",
    [
        "[conv3-w]*n",
        "[conv3-w(act=none)]*n -> bn",
        "bn -> [conv3-w(act=none)]*n -> [conv1-w(act=none)]*n",
        "[c{i}: conv3-{w*i} for i in 1..n]",
        "[c{i}: conv3-{w + 2*i} for i in 3..n+2] -> last: conv1-w",
        "[conv{2*i + 1}-w for i in 1..n]",
        "[conv3-w/{2 if i == 1 else 1} for i in 1..n]",
        "[[conv3-w -> bn]*2]*n",
        "[[conv3-w(act=none)]*i for i in 1..n]",
        "[x: [conv3-w]*n]",
        "[[conv3-w + id]]*n",
        "conv1-w -> [conv3-w]*{n-1}",
        "conv1-w -> [conv3-w -> bn]*{n//3} -> conv1-w -> [conv{2*i+1}-w for i in 2..n]",
        "[conv1-w]*{n//5} -> conv3-w -> x: conv1-w",
    ],
)
def test_loops_build_what_the_analysis_says(body: str) -> None:
    """Counts of 1 to 5 from one class, or from several where the text gives none."""
    for calls in (
        "b(4, 3)",
        "b(4, 2) -> b(4, 5)",
        "b(4, 1) -> b(4, 2) -> b(4, 3) -> b(4, 5)",
        "b(6, 3) -> b(4, 3)",
    ):
        try:
            net = cnnc.parse(f"input 4x16x16\nblock b(w, n) = [{body}]\n{calls}")
        except cnnc.CnncError as error:
            assert "E405" in str(error) or "E403" in str(error), error  # noqa: PT017
            continue
        agrees(net)


@pytest.mark.parametrize(
    "body",
    [
        "conv1-w -> [conv3-w]*{n-1}",
        "conv1-w -> [conv{2*i+1}-w for i in 1..n-1] -> conv1-w",
        "a: conv1-w -> [conv3-w]*{n-1} -> b: conv1-w",
    ],
)
def test_a_repeat_without_a_turn_is_a_loop_like_any_other(body: str) -> None:
    spec = f"input 4x16x16\ndefault conv(act=none)\nblock b(w, n) = [{body}]\n"
    for calls in ("b(4, 1) -> b(6, 4)", "b(4, 4) -> b(6, 1) -> b(4, 2)", "b(4, 1) -> b(6, 1)"):
        assert len(classes(agrees(cnnc.parse(spec + calls)))) == 2


def test_padding_by_side_is_written_by_its_source() -> None:
    source = agrees(
        cnnc.parse("input 4x16\nblock b(d) = conv3-4(dilation=d, pad=(2*d, 0))\nb(1) -> b(2) -> b(8)")
    )
    assert "padding=(2 * d, 0), dilation=d" in source
    source = agrees(cnnc.parse("input 4x16x16\nblock b(p) = conv3-4(pad=(p, p//2))\nb(1) -> b(2) -> b(3)"))
    assert "padding=(p, p // 2, p, p // 2)" in source


def test_a_pipeline_is_a_module_that_the_constructor_takes() -> None:
    net = cnnc.parse(
        "input 3x32x32\nblock level(w, inner) = conv3-w -> [id | pool -> inner -> tconv2-w/2] -> conv3-w\n"
        "level(4, [level(8, [level(16, [c: conv3-32])])])"
    )
    source = agrees(net)
    assert "inner: nn.Module" in source
    assert "self.level1 = inner" in source
    net = cnnc.parse(
        "input 3x32x32\nblock level(w, inner) = conv3-w -> [id | pool -> below: inner -> tconv2-w/2] -> conv3-w(act=none)\n"
        "level(4, [level(8, [level(16, [conv3-32 -> conv3-24])])])"
    )
    source = agrees(net)
    assert classes(source) == ["Level", "Net"]
    assert "nn.ConvTranspose2d(inner_channels, w, 2, stride=2)" in source


@pytest.mark.parametrize(
    "text",
    [
        # two pipelines, one of them used twice
        "block b(p, q) = [x: p + y: q] -> z: q\nb([conv3-4], [conv1-4]) -> b([bn -> conv3-4], [conv3-4])",
        # handed on to another block
        "block a(p) = [p: p -> conv3-4]\nblock b(p) = conv1-4 -> a(p) -> conv1-4\nb([conv3-8]) -> b([conv3-8 -> conv3-6])",
        # with a shared module and a tensor of outside in it
        "shared s = conv3-3\nblock b(p) = [id + x: p]\nid -> b([s]) -> c: conv3-3 -> b([[conv3-3 + c]])",
        # repeated
        "block b(p, n) = [[p]*n -> conv3-4]\nb([conv3-8 -> bn], 2) -> b([conv1-5], 3)",
    ],
)
def test_pipelines_of_all_kinds(text: str) -> None:
    agrees(cnnc.parse(f"input 3x8x8\n{text}"))


def test_a_choice_is_an_if_in_the_class() -> None:
    source = cnnc.load("zoo:mobilenet_v2").pytorch()
    assert classes(source) == ["Wide", "Depthwise", "Bottleneck", "Inverted", "MobilenetV2"]
    assert "self.adds = s == 1 and in_channels == c\n" in source
    assert (
        "        if self.adds:\n            return self.conv(x) + x\n        return self.conv(x)\n" in source
    )
    assert "        if t > 1:\n" in source


def test_a_word_is_an_argument_of_the_class() -> None:
    source = agrees(cnnc.load("zoo:mobilenet_v3_small"))
    assert classes(source) == ["Cna", "Dw", "Excite", "Path", "Inverted", "MobilenetV3Small"]
    assert '        if act == "hardswish":\n            layers.append(nn.Hardswish(inplace=True))\n' in source
    assert 'Inverted(24, 5, 96, 40, 2, "se", "hardswish"),' in source


@pytest.mark.parametrize(
    "text",
    [
        "block b(w, norm, act=relu) = conv3-w(norm=norm, act=act) -> conv1-w\nb(4, bn) -> b(4, none) -> b(5, bn, none)",
        "block b(norm) = conv3-4 -> norm -> conv1-5(act=none)\nb(bn) -> b(none) -> b(lrn(5, k=2)) -> b(gn(2))",
        "block b(w, se) = conv3-w -> [[conv1-w & conv3-w] if se == yes else id]\nb(4, yes) -> b(5, no) -> b(6, yes)",
        "block b(w, a, c) = [bn if a == x else id] -> [conv3-w if c == y else conv1-w] -> [relu6 if a == x else tanh]\n"
        "b(4, x, y) -> b(5, x, n) -> b(6, o, y) -> b(7, o, n)",
        "block b(w, s) = [conv3-w/s -> conv3-w + shortcut(kind=pad)]\nb(4, 1) -> b(8, 2) -> b(8, 1)",
    ],
)
def test_words_of_all_kinds(text: str) -> None:
    source = agrees(cnnc.parse(f"input 4x16x16\n{text}"))
    found = classes(source)
    assert not [c for c in found if c[-1].isdigit() and c.rstrip("0123456789") in found]


@pytest.mark.parametrize(
    "text",
    [
        "block b(w, s) = [[conv3-w -> conv3-w + id] if s == 1 and C == w else conv3-w/s]\nb(4, 1) -> b(8, 2) -> b(8, 1)",
        "block b(w) = [conv1-w if w < 6 else conv3-w -> bn if w < 9 else gap]\nb(4) -> b(5) -> b(7) -> b(12)",
        "block b(w, n) = conv1-w -> [bn if not n == 2 else id] -> [conv3-w]*n\nb(4, 2) -> b(4, 3) -> b(5, 4)",
        "block b(w) = [x: [conv1-w | conv3-w] if w > 4 else x: conv1-w]\nb(4) -> b(5)",
    ],
)
def test_choices_of_all_kinds(text: str) -> None:
    try:
        net = cnnc.parse(f"input 4x16x16\n{text}")
    except cnnc.CnncError as error:
        pytest.fail(str(error))
    agrees(net)


def test_numbers_that_forward_reads_are_kept() -> None:
    """A constructor's number in forward is read from an attribute."""
    source = agrees(cnnc.parse("input 4x32x32\nblock a(s) = conv3-4(act=none) -> crop(s)\na(20) -> a(18)"))
    assert re.search(r"\n        self\.(\w+) = \1\n", source)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("b(4, 0) -> b(4, 0.1) -> b(4, 1/3)", 2),
        ("b(4, 0.5) -> b(4, 0.1)", 2),
        ("s(3, 0, 12, 0.1) -> s(5, 3, 12, 0.1) -> s(4, 8, 12, 0.1)", 3),
        ("s(3, 0, 7, q) -> s(4, 3, 7, q) -> [dropout(q/3)]", 3),
        ("m(4, 1, 0.1) -> m(4, 1, 0.7) -> m(8, 2, 0.2) -> m(8, 1, 0)", 2),
        ("m(4, 1, 0) -> m(8, 2, 0.2)", 2),
        ("[b(4, 0.03*i) for i in 0..6]", 2),
        ("wide(0.5, 0.5) -> wide(1.5, 0.1)", 2),
        ("wide(0.25*3, 0.5) -> wide(0.1*5/2, 0.9) -> wide(1, 0)", 2),
    ],
)
def test_rates_are_arguments_and_grow_in_loops(text: str, count: int) -> None:
    """Each module drops what the layer of its name says, up to the rounding of floats."""
    net = cnnc.parse(
        "input 4x16x16\nparam q = 0.1\ndefault conv(act=none)\n"
        "block b(w, p) = [conv1-w -> droppath(p) + id]\n"
        "block s(n, before, all, p) = [b(4, p*(before+i)/(all-1)) for i in 0..n-1]\n"
        "block m(w, s, p) = [[conv1-w -> droppath(p) + id] if s == 1 and C == w else conv1-w/s]\n"
        "block wide(a, p) = conv1-{8*a} -> spatialdropout(p)\n"
        f"conv1-4 -> {text}"
    )
    source = agrees(net)
    made = [c for c in classes(source) if c != "StochasticDepth"]
    assert len(made) == count
    model = executed(source)[made[-1]]()
    rates = {
        node.name: op.p
        for node in net.graph.nodes
        for op in [node.op]
        if isinstance(op, DropPath | Dropout | SpatialDropout)
    }
    found = {name: module.p for name, module in model.named_modules() if hasattr(module, "p")}
    assert found == pytest.approx(rates, rel=1e-14)
    assert all(type(p) is float for p in found.values())


def test_what_only_calls_know_keeps_its_name_on_the_way() -> None:
    """It is named after the argument that it ends in, also where a parameter around has that name."""
    half = "conv1-{4*scale_factor} -> upsample(H//2)"
    source = agrees(
        cnnc.parse(
            f"input 4x4x4\ndefault conv(act=none)\nblock o(scale_factor) = x: [{half} + {half}]\no(1) -> o(1) -> o(2)"
        )
    )
    assert "def __init__(self, in_channels: int, scale_factor_: int, scale_factor: int)" in source
    assert "self.x = X(in_channels, scale_factor, scale_factor=scale_factor2)" in source


# --- arithmetic and params ----------------------------------------------------------------------


def test_arithmetic_is_kept() -> None:
    source = cnnc.load("zoo:resnet50").pytorch()
    assert "nn.Conv2d(w, 4 * w, 1, bias=False)" in source
    source = cnnc.load("zoo:densenet_bc100_k12").pytorch()
    assert "math.floor(theta * in_channels)" in source
    assert "theta: float = 0.5" in source


PARAMS: list[tuple[str, dict[str, list[Any]]]] = [
    ("mobilenet_v1", {"width": [0.25, 0.5, 0.75, 2]}),
    ("mobilenet_v2", {"width": [0.25, 0.35, 0.5, 0.75, 1.3, 1.4, 2]}),
    ("zfnet", {"n3": [512], "n4": [1024], "n5": [512]}),
    ("nin_cifar10", {"classes": [100]}),
    ("dqn", {"actions": [4, 6]}),
    ("alphago_value", {"k": [128, 256]}),
]


@pytest.mark.parametrize(("name", "values"), PARAMS, ids=[name for name, _ in PARAMS])
def test_the_model_takes_the_files_params(name: str, values: dict[str, list[Any]]) -> None:
    """`MobilenetV2(width=0.5)` is `cnnc -D width=0.5`, tensor for tensor and in its modules."""
    source = cnnc.load(f"zoo:{name}").pytorch()
    model = executed(source)[classes(source)[-1]]
    for param, others in values.items():
        for value in others:
            net = cnnc.load(f"zoo:{name}", **{param: value})
            with torch.device("meta"):
                built = model(**{param: value}).eval()
                outputs = built(*(torch.empty(1, *shape) for shape in net.inputs.values()))
                assert [n for n, _ in built.named_modules()] == [n for n, _ in net.module().named_modules()]
            assert tensors(built) == wanted(net)
            assert [tuple(outputs.shape[1:])] == list(net.outputs.values())


def test_every_param_of_the_zoo_is_taken_or_named() -> None:
    for name in ZOO:
        net = cnnc.load(f"zoo:{name}")
        source = net.pytorch()
        signature = source.rpartition("\nclass ")[2].partition("-> None:")[0]
        for param in net.graph.params:
            assert f"{param}: " in signature or f"Compiled for {param}=" in source, (name, param)


def test_a_param_on_which_the_layers_depend_is_left_out_and_named() -> None:
    text = "input 3x8x8\nparam n = 2\nparam w = 4\n[conv3-w]*n -> gap"
    source = agrees(cnnc.parse(text))
    assert "def __init__(self, w: int = 4) -> None:" in source
    assert "Compiled for n=2: the layers depend on it, not their sizes alone." in source


def test_a_param_that_counts_the_turns_of_a_chain_is_taken() -> None:
    text = "input 3x8x8\nparam n = 3\nblock b(w, n) = [conv1-w -> [conv3-w]*n]\nb(4, n) -> gap"
    source = agrees(cnnc.parse(text))
    if "n: int = 3" in source:
        model = executed(source)["Net"]
        for n in (1, 2, 5):
            assert tensors(model(n=n)) == wanted(cnnc.parse(text, n=n))
    else:
        assert "Compiled for n=3" in source


def test_words_are_left_out_and_named() -> None:
    source = agrees(cnnc.parse("input 3x8x8\nparam kind = bn\nconv3-4(norm=kind) -> gap"))
    assert "def __init__(self) -> None:" in source
    assert "Compiled for kind=bn" in source


def test_an_overridden_param_becomes_the_default() -> None:
    source = cnnc.load("zoo:mobilenet_v1", width=Fraction(1, 2)).pytorch()
    assert "def __init__(self, width: float = 0.5) -> None:" in source


def test_a_size_that_is_not_whole_is_refused() -> None:
    source = cnnc.load("zoo:mobilenet_v1").pytorch()
    with pytest.raises(ValueError, match="no whole number"):
        executed(source)["MobilenetV1"](width=0.3)
    with pytest.raises(cnnc.CnncError, match="E305"):
        cnnc.load("zoo:mobilenet_v1", width=0.3)


@pytest.mark.parametrize("size", [1, 3, 4, 7.9, 8, 11.9, 12, 20, 42, 44.8, 100.1, 1792])
def test_the_helper_rounds_as_the_language_does(size: float) -> None:
    from cnnc.compiler.walk.operations import FUNCTIONS

    helper = executed(cnnc.load("zoo:mobilenet_v2").pytorch())["divisible"]
    assert helper(size, 8) == FUNCTIONS["divisible"](Fraction(str(size)), 8)


# --- the file ---------------------------------------------------------------------------------------


def test_numbers_that_are_names_tell_classes_apart() -> None:
    """The norms of the second call are `2` and `3`, behind two convolutions."""
    text = """
    input 4x6x6
    default conv(act=none)
    block b(n) = [conv3-C(bias=no)]*n -> [a{q}: conv1-C(bias=no) -> bn for q in 1..2]
    b(1) -> b(2)
    """
    net = cnnc.parse(text)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.module().state_dict().items()}
    assert shapes == {key: tuple(shape) for _, key, shape in net.graph.tensors()}
    assert "b2.3.running_mean" in shapes


def test_a_line_through_two_counts_is_no_rule() -> None:
    """Halves of halves grow by another number in each turn; two calls alone do not show it."""
    text = """
    input 4x6x6
    block h(w) = [chunk(2, 0) -> conv3-{w//2} | chunk(2, 1)]
    block b(w, n) = [[h{i}: h(w) for i in 1..n]
    [| h{i} for i in 1..n]] -> conv1-w
    b(4, 3) -> b(4, 2)
    """
    net = cnnc.parse(text)
    assert "-2 *" not in net.pytorch()
    shapes = {name: tuple(tensor.shape) for name, tensor in net.module().state_dict().items()}
    assert shapes == {key: tuple(shape) for _, key, shape in net.graph.tensors()}


def test_the_models_forward_tells_its_shapes() -> None:
    source = cnnc.load("zoo:resnet50").pytorch()
    assert "        x = self.layer1(x)  # 256x56x56\n        x = self.layer2(x)  # 512x28x28\n" in source
    assert "        return self.fc(x)  # 1000\n" in source


def test_shapes_that_a_param_changes_are_not_told() -> None:
    source = cnnc.load("zoo:mobilenet_v1").pytorch()
    assert not re.search(r"# \d", source)


def test_the_same_bytes_under_every_hash_seed() -> None:
    program = (
        "import hashlib, cnnc\n"
        "for name in ('densenet121', 'mobilenet_v2', 'unet', 'shufflenet_g3', 'googlenet_aux', 'two_stream'):\n"
        "    print(hashlib.sha256(cnnc.load('zoo:' + name).pytorch().encode()).hexdigest())"
    )
    runs = printed_under_seeds(program, seeds=("0", "1", "4711"))
    assert runs[0].count("\n") == 6
    assert runs[0] == runs[1] == runs[2]
