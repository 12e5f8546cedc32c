"""A flat spec folded: the network is the same, and the text as short as one that somebody wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from handwritten import tokens
from hypothesis import HealthCheck, given, settings
from strategies import network_texts

import cnnc
from cnnc.compiler.graph import Graph
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source
from cnnc.importer.structure import Names, same, shorten
from cnnc.importer.structure.sequences import follows
from cnnc.importer.structure.shorten import Shortening
from cnnc.importer.structure.spell import size

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn"))
SAMPLE = [
    "ddpm_cifar10",
    "googlenet_aux",
    "lenet5_1998",
    "mobilenet_v2",
    "nasnet_a_mobile",
    "resnet50",
    "two_stream",
    "wavenet",
]
MODES: tuple[Names, ...] = ("keys", "none")
SHORTER = 1.25
LONGER_WITHOUT_NAMES = {"ddpm_cifar10": 1.3, "nasnet_a_large": 1.5, "nasnet_a_mobile": 1.4, "wavenet": 2.3}
"""How much longer than what somebody wrote, where no name of a level says what belongs together."""


def flat(name: str) -> Graph:
    """The graph of a shipped spec's flat core: nothing of what its author wrote is left but the names."""
    return cnnc.parse(cnnc.load(f"zoo:{name}").expand()).graph


def folded(graph: Graph, names: Names = "keys") -> str:
    """The text of a graph, held to what it promises: without one rejected step, the same graph, formatted."""
    shortening = Shortening(graph, names, {})
    text = shortening.text()
    assert not shortening.problems
    assert same(graph, cnnc.parse(text).graph, names=names) is None
    assert format_source(Source("net.cnn", text)) == text
    return text


@pytest.mark.parametrize("name", SAMPLE)
def test_a_flat_core_is_folded_as_short_as_it_was_written(name: str) -> None:
    assert size(folded(flat(name))) <= SHORTER * tokens(SPECS / f"{name}.cnn")


@pytest.mark.parametrize("name", ["resnet18", "stn_mnist"])
def test_without_its_names(name: str) -> None:
    assert size(folded(flat(name), "none")) <= SHORTER * tokens(SPECS / f"{name}.cnn")


@pytest.mark.slow
@pytest.mark.parametrize("names", ["keys", "none"])
@pytest.mark.parametrize("name", ZOO)
def test_the_whole_zoo(name: str, names: Names) -> None:
    graph = flat(name)
    text = shorten(graph, names=names)
    assert same(graph, cnnc.parse(text).graph, names=names) is None
    longest = LONGER_WITHOUT_NAMES.get(name, SHORTER) if names == "none" else SHORTER
    assert size(text) <= longest * tokens(SPECS / f"{name}.cnn")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("resnet50", 20),
        ("densenet201", 40),
        ("efficientnet_b0", 35),
    ],
)
def test_lines(name: str, lines: int) -> None:
    assert shorten(flat(name)).count("\n") <= lines


def test_what_a_person_would_write() -> None:
    assert shorten(flat("resnet50")) == (
        "model resnet50\n"
        "input 3x224x224\n"
        "default conv(norm=bn)\n"
        "\n"
        "block residual(w, s=1) = [conv1-w -> conv3-w/s -> conv1-{4*w} + downsample: shortcut] -> relu\n"
        "block layer(w, n) = residual(w, 2) -> [residual(w)]*n\n"
        "\n"
        "conv7-64/2 -> maxpool3/2(pad=1)\n"
        "layer1: [[residual(64)]*3]\n"
        "layer2: layer(128, 3)\n"
        "layer3: layer(256, 5)\n"
        "layer4: layer(512, 2) -> gap -> fc: fc-1000\n"
    )


def test_levels_inside_levels_alike_are_a_block_that_is_handed_a_chain() -> None:
    assert shorten(flat("unet")) == (
        "model unet\n"
        "input 1x572x572\n"
        "default conv(pad=valid)\n"
        "\n"
        "block level(w, inner) = [conv3-w]*2 -> [crop | maxpool -> inner -> tconv2-w/2] -> [conv3-w]*2\n"
        "\n"
        "level(64, [level(128, [level(256, [level(512, [[conv3-1024]*2])])])]) -> conv1-2\n"
    )


NESTS = {
    "handed a tensor": """input x: 4x16x16
input t: 4x1x1
block level(w, t, inner) = [a: conv3-w + t -> linear-w -> upsample(H)] -> [id | b: pool -> inner -> upsample(2)]
x -> level(8, t, [level(16, t, [level(32, t, [conv3-64 -> conv3-64])])]) -> conv1-2""",
    "a tensor of the level around": """input 4x16x16
a: conv3-8
l: [
  b: conv3-8
  [id | a -> pool -> conv3-16 -> upsample(2)] -> c: conv3-8
  [id | pool -> l: [
    b: conv3-8
    [id | c -> pool -> pool -> conv3-16 -> upsample(2)] -> c: conv3-8
    [id | pool -> conv3-32 -> upsample(2)]
  ] -> upsample(2)]
]
conv1-2""",
    "no chain alike inside": """input 4x16x16
l: [conv3-8 -> [id | pool -> l: [conv3-16 -> [id | pool -> l: [conv5-32 -> relu -> bn] -> upsample(2)]] -> upsample(2)]]
conv1-2""",
    "a level of another kind in between": """input 4x32x32
block level(w, inner) = conv3-w -> [id | m: [conv1-w -> inner -> bn]] -> conv3-w
level(8, [level(16, [level(8, [conv3-4])])]) -> conv1-2""",
    "two kinds in turn": """input 8x64x64
block level(w, inner) = a: conv3-w -> [id | b: [inner -> bn]] -> c: conv3-w
block half(inner) = pool -> conv3-C -> inner -> upsample(2) -> conv1-C
level(8, [half([level(16, [half([level(24, [half([conv3-8 -> bn])])])])])]) -> conv1-2""",
    "two kinds in turn, with a tensor for one": """input x: 8x64x64
input t: 8x1x1
block level(w, t, inner) = a: conv3-w -> [id | b: [inner -> linear-8 & t]] -> c: conv3-w
block half(inner) = down: pool -> inner -> upsample(2) -> [id + conv3-C]
x -> level(8, t, [half([level(16, t, [half([level(24, t, [conv3-8 -> bn])])])])]) -> conv1-2""",
    "another kind between each two": """input 8x64x64
block level(w, inner) = conv3-w -> [id | m: inner] -> conv3-w
level(8, [[x: conv1-8 -> level(16, [y: [conv5-8 -> [id | x] -> level(24, [gap -> upsample(64)])]])]]) -> conv1-2""",
    "several in one": """input 4x16x16
block level(w, inner, k=3) = conv{k}-w -> [id | pool -> inner -> upsample(2)] -> conv3-w
a: level(8, [level(16, [conv3-4 -> bn], 5)])
b: level(8, [level(4, [level(2, [relu])], 5)])""",
}


@pytest.mark.parametrize("text", NESTS.values(), ids=NESTS)
def test_nests_fold_to_themselves(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


def test_levels_of_two_kinds_inside_each_other_in_turn_are_two_blocks() -> None:
    text = folded(cnnc.parse(NESTS["two kinds in turn"]).graph)
    assert "block level(w, inner) = a: conv3-w -> [id | inner] -> c: conv3-w" in text
    assert text.count("(inner) = ") == 2  # `half`, and the bracket in each level


def test_a_block_is_handed_the_same_tensor_at_every_depth() -> None:
    graph = cnnc.parse(
        "input x: 8x16x16\ninput t: 4x1x1\n"
        "block unit(t) = [id + conv3-8 -> gn(groups=4) + t -> silu -> linear-8 -> upsample(16)] -> conv3-8\n"
        "x -> conv1-8 -> l: [b: unit(t) -> [id | m: [c: unit(t) -> bn] -> relu] -> conv1-8] -> fc-2"
    ).graph
    text = folded(graph)
    assert "l: [b: residual(t, relu) -> [id | m: [c: residual(t, none)" in text


def test_blocks_are_named_after_classes() -> None:
    classes = {f"layer{i}.{j}": "BasicBlock" for i in range(1, 5) for j in range(2)}
    assert "block basic_block(w, s=1) = " in shorten(flat("resnet18"), classes=classes)


def test_levels_alike_at_several_places_are_a_block() -> None:
    """Those that a repeat or a block around them would write once count once."""
    unit = "[a: conv1-C(norm=bn) + b: conv3-C(norm=bn) + c: conv5-C(norm=bn)] -> relu"
    text = folded(cnnc.parse(
        f"input 8x9x9\nblock u = {unit}\np: [[u]*2 -> _: [conv1-8]]\nq: [conv3-8 -> u]\nr: [u -> pool -> bn]\ngap -> fc-2"
    ).graph)  # fmt: skip
    assert text.count("conv5") == 1 and "p: [residual -> residual -> " in text
    text = folded(cnnc.parse(f"input 8x9x9\np: [[_: [{unit}]]*3]\ngap -> fc-2").graph)
    assert "block" not in text


IN_BLOCKS = {
    "attention whose chains count their own channels": """input 64x8x8
block attention(k) = x: id -> sr: conv{k}-C/k(pad=valid, act=none) -> kv: linear-{2*C} -> attend(
  heads=C//32, q=[x -> q: linear-{C//2}], k=[chunk(2, 0)], v=[chunk(2, 1)]) -> proj: linear-C
a: attention(2) -> b: [id + c: attention(4)] -> conv1-128(act=none) -> d: attention(2)""",
    "ranges of the channels": """input 8x6x6
block cut(k) = [
  f: conv1-{3*C+k} -> slice(..C-1) -> low: id
  f -> slice(C..2*C-1) -> [id & low] -> both: id
  f -> slice(3*C..) -> gap -> g: conv1-C
  [both & g]
]
a: cut(2) -> b: cut(3) -> conv1-12 -> c: cut(5)""",
}


@pytest.mark.parametrize("text", IN_BLOCKS.values(), ids=IN_BLOCKS)
def test_what_blocks_take_from_their_channels(text: str) -> None:
    found = folded(cnnc.parse(text).graph)
    assert found.count("block ") == 1 and size(found) <= SHORTER * size(text)


drawn = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@drawn
@given(network_texts())
def test_any_network_folds_to_itself(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


@pytest.mark.slow
@settings(drawn, max_examples=1500)
@given(network_texts())
def test_any_network_at_length(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


def test_several_lines_with_labels() -> None:
    """What is no nest of branches is written in lines, and what is needed twice has a label."""
    graph = cnnc.parse(
        "input 3x32x32\na: conv3-8\nb: conv3-8/2\n[a -> conv3-8/2 + b] -> c: relu\n[b | c -> conv3-4] -> d: conv3-8\n"
        "a -> conv1-4/2 -> e: id\n[d | e] -> gap -> out: fc-4\nc -> gap -> aux: fc-2\noutput out, aux"
    ).graph
    for names in MODES:
        folded(graph, names)


def test_a_dense_block_whose_concats_join_all_that_came_before() -> None:
    """As PyTorch's DenseNet has it: each layer joins every map before it, so none is joined to the last join."""
    maps = ["stem"]
    lines = ["input 3x16x16", "stem: conv3-8(act=none)"]
    for i in range(1, 6):
        layer = f"block.layer{i}"
        lines += [f"{layer}.cat: [{' | '.join(maps)}]"] if i > 1 else []
        start = f"{layer}.cat" if i > 1 else "stem"
        lines += [
            f"{start} -> {layer}.norm: bn",
            f"{layer}.relu: relu",
            f"{layer}.conv: conv3-4(bias=no, act=none)",
        ]
        maps.append(f"{layer}.conv")
    graph = cnnc.parse("\n".join([*lines, f"[{' | '.join(maps)}] -> gap -> fc: fc-10"])).graph
    text = shorten(graph)
    assert "block layer = norm: bn -> relu -> conv: conv3-4" in text
    assert "block: [[[id | layer]]*5]" in text
    assert same(graph, cnnc.parse(text).graph, names="keys", nested=True) is None
    assert same(graph, cnnc.parse(text).graph, names="keys") is not None


# Networks beside those of the zoo: what is rare in them, or new in the language.
RARE = {
    "free sizes": "input 1xHxW\nc1: conv3-16\npool -> conv3-32\n[c1 | upsample(2)] -> conv3-2",
    "padding by the size": "input 3xHxW\nconv3-16/2(pad=same_tf) -> conv3-16/2(pad=same_tf)",
    "an extern": """input 3x64x64
extern cbam(k=7) = "mypackage.attention:CBAM" (shape=same, params=2*k*k, macs=0)
conv3-32 -> cbam -> conv3-64 -> cbam(k=3) -> gap -> fc-10""",
    "an extern of two inputs": """input left: 3x64x64
input right: 3x64x64
extern corr(k=4) = "mypackage.flow:Correlation" (ins=2, shape=((2*k+1)**2, H, W), params=0)
left -> conv3-32 -> l: id
right -> conv3-32 -> r: id
l -> corr(r) -> conv3-2""",
    "tensors": """input 96x14x14
[id -> dwconv7(act=none) -> linear-{4*C}(act=gelu) -> linear-C & layer_scale: tensor(C, 1, 1, init=1e-6)]
reshape(96x196)
[id + positions: tensor(C, W, init=normal(0.02))]""",
    "attention": """input 64x32x32
[id + norm: gn -> attend(q=[q: conv1-C], k=[k: conv1-C], v=[v: conv1-C], heads=4) -> proj_out: conv1-C]""",
    "attention to a map": """input 256x14x14
queries: tensor(256, 100, init=normal(1))
"input" -> attend(q=queries, k=[linear-256], v=[linear-256], heads=8) -> linear-256""",
    "products": """input 32x196
k: [id -> linear-32 -> softmax]
v: ["input" -> linear-32]
mix: tensor(32, 32, init=normal(0.1))
[mix @ v] -> linear-32
[id + k]""",
    "weights of others": """input 1x28x28
default conv(reparam=weight_norm)
conv7-32(mask=a)
[[conv1-16 -> conv3-16(mask=b) -> conv1-32 + id] -> relu]*3
conv1-256(act=none)""",
    "where a pool took from": """input 3x32x32
stn([conv7-8 -> pool -> fc-32])
c1: conv3-32
p1: maxpool
conv3-64 -> conv3-32 -> unpool(of=p1)
conv3-32/2 -> upsample(like=c1)""",
    "a convolution of as many maps beside an identity": "input 8x9x9\n[id + conv1-8(act=none)] -> conv3-8/2 -> fc-2",
    "nothing": "input 3x32x32\nid",
    "an input that is an output": "input a: 3x8x8\ninput b: 3x8x8\n[a + b] -> x: relu\noutput x, a",
    "two names": "input 3x8x8\nconv3-4 -> p: id\nq: id\nrelu -> r: id\noutput p, q, r",
    "a shared module": "input 3x64x64\nshared t = [[id + conv3-3 -> bn -> conv3-3] -> relu]\nt -> t -> t -> gap -> fc-3",
    "a projection beside an identity": "input 1x8x8\n[conv1-4 + shortcut] -> relu\n[conv1-4 -> bn + shortcut] -> relu",
    "biases beside a projection": """input 1x8x8
default conv(norm=bn)
conv1-2(act=sigmoid, bias=yes)
[conv1-4(act=sigmoid, bias=yes) + shortcut] -> relu""",
    "projections without norm and bias": """input 8x8x8
default conv(bias=no)
[bn -> relu -> conv3-16/2(norm=bn) -> conv1-16 + shortcut] -> [bn -> relu -> conv3-32/2(norm=bn) -> conv1-32 + shortcut] -> bn""",
    "lines that begin with a tensor": """input 8x6x6
block mix(n) = [
  x: id -> conv3-C -> a: id
  weights: tensor(n, C) -> sigmoid -> s: id
  [a & s -> chunk(n, 0) -> reshape(_, 1, 1)] -> conv1-C -> [id & s -> chunk(n, 1) -> reshape(_, 1, 1)] -> [id + x]
]
m1: mix(2) -> m2: mix(4) -> conv3-16 -> m3: mix(4)""",
    "labels that are words": """model default
input 3x16x16
model: conv3-8 -> "if": conv3-8 -> relu: relu -> conv: conv3-8 -> id2: conv3-8
["relu" | id] -> pad(1)""",
    "ranges": "input 64x14x14\na: reshape(C//2, 2, _)\nslice(1.., axis=W) -> slice(..-2, axis=W)",
    "one axis": "input 3x64\n[conv3-8(dilation=2**i, pad=causal) for i in 0..5] -> gap -> fc-3",
    "three axes": "input 3x8x16x16\nconv3x1x1-8/1x2x2(pad=1x0x0) -> [id + conv1x3x3-8 -> bn] -> relu -> gap -> fc-3",
}


@pytest.mark.parametrize("text", RARE.values(), ids=RARE)
def test_what_is_rare(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


def test_blocks_without_a_level_that_marks_them() -> None:
    """Where names say nothing of structure, as after another tool's export, pieces alike become blocks all the same."""
    lines = ["input 3x32x32", "n0: conv3-16(norm=bn)", "x0: id"]
    widths = [16, 16, 32, 32, 64, 64]
    for i, w in enumerate(widths):
        stride = 2 if i in (2, 4) else 1
        skip = f"x{i} -> conv1-{w}/2(norm=bn, act=none) -> s{i}: id" if stride == 2 else f"x{i} -> s{i}: id"
        lines += [f"x{i} -> conv3-{w}/{stride}(norm=bn) -> conv3-{w}(norm=bn, act=none) -> b{i}: id", skip]
        lines += [f"[b{i} + s{i}] -> relu -> x{i + 1}: id"]
    text = folded(cnnc.parse("\n".join([*lines, "gap -> fc-10"])).graph, "none")
    assert "block residual(w, s=1) = [conv3-w/s -> conv3-w + shortcut]" in text


def test_paddings_that_are_all_of_tensorflow_are_one_default() -> None:
    graph = cnnc.parse(
        "input 3x32x31\ndefault conv(pad=same_tf, norm=bn)\ndefault maxpool(pad=same_tf)\n"
        "conv3-8/2 -> dwconv3/2 -> conv3-8 -> maxpool3/2 -> maxpool3/2 -> conv1-16 -> gap -> fc-5"
    ).graph
    text = folded(graph)
    assert "default conv(norm=bn, pad=same_tf)\n" in text and "[maxpool3/2(pad=same_tf)]*2" in text
    assert text.count("pad=") == 2
    mixed = cnnc.parse("input 3x32x32\nconv3-8/2 -> conv3-8/2 -> conv3-8/2(pad=same_tf) -> conv5-8").graph
    assert folded(mixed).count("same_tf") == 1


# --- the judge ----------------------------------------------------------------------------

HEAD = "input 3x16x16\ndefault conv(norm=bn)\n"
PLAIN = "[id | conv3-8/1(pad=1) -> conv1-4] -> maxpool -> leaky(0.1) -> [conv3-8]*2 -> gap -> fc-4"


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (PLAIN.replace("maxpool", "maxpool2/1"), "maxpool1: stride is (2, 2), and (1, 1) in the other"),
        (PLAIN.replace("[id |", "[conv1-3 | id |"), "number of inputs is 2, and 3 in the other"),
        (PLAIN.replace("leaky(0.1)", "leaky(0.2)"), "slope is 0.1, and 0.2 in the other"),
        (PLAIN.replace("leaky(0.1)", "relu"), "is leaky, and relu in the other"),
        (PLAIN.replace("*2", "*3"), "in the other"),
        (PLAIN.replace("conv1-4]", "conv1-4(norm=bn(eps=1e-3))]"), "bn2: eps is 1e-05, and 0.001 in the other"),
        ("[conv3-8/1(pad=1) -> conv1-4 | id] -> maxpool -> leaky(0.1) -> [conv3-8]*2 -> gap -> fc-4", "in the other"),
    ],
)  # fmt: skip
def test_the_judge_finds_what_was_planted(other: str, found: str) -> None:
    one, two = (cnnc.parse(HEAD + text).graph for text in (PLAIN, other))
    problem = same(one, two)
    assert problem is not None and found in problem
    assert same(one, one) is None and same(two, two) is None


def test_the_judge_of_names_and_sharing() -> None:
    one, two = (cnnc.parse(f"input 3x8x8\n{label}conv3-4 -> relu").graph for label in ("", "a: "))
    assert same(one, two) is None
    assert same(one, two, names="keys") == "conv1: is called a in the other"
    shared = cnnc.parse("input 3x8x8\nshared s = conv3-3\ns -> s -> relu").graph
    alone = cnnc.parse("input 3x8x8\nconv3-3 -> conv3-3(act=relu) -> relu").graph
    assert same(shared, alone) is not None


def test_concats_of_concats_are_one_where_that_is_asked() -> None:
    head = "input 3x8x8\na: conv3-4\nb: conv3-4\n"
    one, two = (cnnc.parse(head + text).graph for text in ("[a | b | a]", "[[a | b] | a]"))
    assert same(one, two) is not None
    assert same(one, two, nested=True) is None and same(two, one, nested=True) is None
    other = cnnc.parse(f"{head}[[a | a] | b]").graph
    assert same(one, other, nested=True) is not None


def test_a_text_that_is_wrong_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no step leads to the same graph, the flat core is what is left."""
    graph = flat("vgg11")
    monkeypatch.setattr(Shortening, "judged", lambda self, text: None)
    assert shorten(graph) == cnnc.parse(cnnc.load("zoo:vgg11").expand()).expand()


# --- the command --------------------------------------------------------------------------


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_the_command_reads_what_expand_writes(tmp_path: Path) -> None:
    core = cnnc.load("zoo:squeezenet1_1").expand()
    done = run("fold", "-", "-o", str(tmp_path / "short.cnn"), stdin=core)
    assert done.returncode == 0
    net = cnnc.load(tmp_path / "short.cnn")
    assert net.costs.total == cnnc.load("zoo:squeezenet1_1").costs.total
    assert net.fold() == (tmp_path / "short.cnn").read_text()


# --- values that follow from a number that counts up ---------------------------------------

COUNTED = {
    "a power of the rest": "[c{i}: conv3-8(dilation=2**(i%3)) for i in 0..8]",
    "a power of the rest from the start on": "[c{i}: conv3-8(dilation=2**((i-2)%4)) for i in 2..9]",
    "a sum": "[c{i}: conv3-{8*i+4} for i in 1..6]",
    "a share of a power": "[c{i}: conv3-{8*2**i} for i in 0..4]",
    "two arguments of one number": "[c{i}: conv2-8(dilation=2**i, pad=(2**i, 0)) for i in 0..4]",
    "tensors by their numbers": "[c{i}: residual(c{i-2}) for i in 2..7]",
    "branches": "[+ conv3-8(dilation=d, groups=2) for d in 1, 2, 4, 8]",
}


@pytest.mark.parametrize("line", COUNTED.values(), ids=COUNTED)
def test_turns_that_follow_from_a_number(line: str) -> None:
    head = "input 8x99\n"
    if "residual" in line:
        head += "block residual(map) = [id + map -> conv3-8]\nc0: conv3-8 -> c1: conv3-8(act=none)\n"
    text = folded(cnnc.parse(f"{head}{line} -> gap -> fc-10").graph)
    assert line in text


NO_ARITHMETIC = ((7, 9), (3, 2, 1), (1, 1, 2), (0, 0, 0), ("a1", "b2", "a3"), ("relu", "tanh", "silu"))


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ((64, 128, 256), (1, 2, 3)),
        ((5, 10, 20), (2, 3, 4)),
        ((3, 5, 7), (1, 2, 3)),
        ((2, 4, 6, 2, 4, 6, 2), range(3, 10)),
        ((3, 9, 27, 3, 9, 27), range(1, 7)),
        *((values, range(len(values))) for values in NO_ARITHMETIC),
    ],
)
def test_arithmetic_gives_the_values_it_stands_for(
    values: Sequence[int | str], counts: Sequence[int]
) -> None:
    found = follows(values, counts, "i")
    assert (found is None) == (values in NO_ARITHMETIC)
    if found is None:
        return
    widths = f"[conv1-{{{found.text}+1}} for i in {counts[0]}..{counts[-1]}]"
    made = cnnc.parse(f"input 1x8x8\ndefault conv(act=none)\n{widths}").graph
    assert [node.out[0] - 1 for node in made.layers] == [*values]


# --- levels that several values leave ------------------------------------------------------

UNITS = """input 8x32
default conv(act=none)
block unit(d) = [
  x: id
  z: [filter: conv2-8(dilation=d, pad=(d, 0), act=tanh) & gate: conv2-8(dilation=d, pad=(d, 0), act=sigmoid)]
  skip: conv1-16
  z -> dense: conv1-8 -> [x + id]
]
"""
SEVERAL = {
    "summed": f"{UNITS}[u{{i}}: unit(2**(i%4)) for i in 0..8] -> u9: [z: conv1-4 -> skip: conv1-16]\n"
    "[+ u{i}.skip for i in 0..9] -> relu",
    "joined": f"{UNITS}[u{{i}}: unit(i+1) for i in 0..5] -> relu -> end: id\n[[| u{{i}}.skip for i in 0..5] | end]",
    "in a list": f'{UNITS}blocks: [["{{i}}": unit(2**i) for i in 0..4] -> "5": [z: conv1-4 -> skip: conv1-16]]\n'
    "[+ blocks.{i}.skip for i in 0..5] -> relu",
    "each with two ends": f'{UNITS}blocks: [["{{i}}": unit(2**i) for i in 0..4]]\n'
    "[[| blocks.{i}.skip for i in 0..4] -> relu | blocks]",
    "the end is needed later": """input 8x16x16
enc: [a: conv3-8 -> b: conv3-16 -> c: conv3-24]
enc.a -> conv3-4 -> x: id
[x | enc.b] -> conv3-8 -> [id | enc.c]""",
    "needed in between": """input 8x16x16
enc.a: conv3-8
x: conv3-4
enc.a -> enc.b: conv3-16
[id | x | enc.a] -> conv3-8""",
    "an output": """input 8x16x16
enc: [a: conv3-8 -> b: conv3-16 -> c: conv3-24]
enc.a -> side: conv1-2
enc.c -> gap -> main: fc-10
output side, main, enc.b""",
    "without words of its own": """input 8x16x16
m: [l1: [c1: conv3-8 -> c2: conv3-8] -> l2: [c1: conv3-8 -> c2: conv3-8]]
head: [d: conv3-4 -> upsample(like=m.l1) -> [id | m.l1.c1]]""",
    "handed on": """input 8x16x16
default conv(norm=bn)
block fuse(map, w) = [id + map -> conv1-w]
enc: [a: conv3-8 -> s: [b: conv3-16 -> c: conv3-24]]
dec: [u: fuse(enc.s.b, 24) -> v: fuse(enc.a, 24) -> w: fuse(enc.s.b, 24)]""",
    "counted": """input 8x16x16
block unit(w) = [conv3-w -> [id + conv3-w]]
m: [unit1: unit(8) -> unit2: unit(16) -> unit3: unit(24) -> [id | conv1-8]]
[id | m.unit1] -> conv1-4 -> [id | m.unit2]""",
    "by numbers": """input 8x16x16
features: [conv3-8 -> conv3-16 -> x: id -> pool -> conv3-16 -> pool -> y: id -> conv3-24]
conv1-8 -> upsample(2) -> [id | features.y -> upsample(2)] -> upsample(2) -> [id | features.x]""",
}


@pytest.mark.parametrize("text", SEVERAL.values(), ids=SEVERAL)
def test_levels_that_several_values_leave(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


def test_units_that_all_feed_one_sum_are_one_line() -> None:
    text = folded(cnnc.parse(SEVERAL["summed"]).graph)
    assert "[u{i}: residual(2**(i%4)) for i in 0..8]" in text
    assert "-> [+ u{i}.skip for i in 0..9] -> relu" in text


def test_what_leaves_a_level_is_known_by_its_path() -> None:
    text = folded(cnnc.parse(SEVERAL["by numbers"]).graph)
    assert "features: [conv3-8 -> conv3-16 -> x1: id -> maxpool" in text and "[id | features.x1]" in text
    text = folded(cnnc.parse(SEVERAL["in a list"]).graph)
    assert '(2**i) for i in 0..4]\n  "5": [z: ' in text
    assert '[+ "{i}.skip" for i in 0..5]' in text


# --- modules that are used several times ---------------------------------------------------

PYRAMID = """input 3x64x64
default conv(norm=bn)
conv3-8/2 -> p3: id
conv3-8/2 -> p4: id
conv3-8/2 -> p5: id
"""
REUSED = {
    "a head of two branches": f"""{PYRAMID}
p3 -> head: [[cls: [conv3-8 -> conv3-4] | box: [conv3-8 -> conv3-2(act=none)]]] -> o3: id
p4 -> again(head) -> o4: id
p5 -> again(head) -> o5: id
output o3, o4, o5""",
    "towers inside a module that several values leave": f"""{PYRAMID}head: [
  p3 -> cls: [tower: [[_: [conv3-8]]*4] -> logits: conv3-6(norm=none, act=none)] -> c3: id
  p3 -> box: [tower: [[_: [conv3-8]]*4] -> t3: id -> reg: conv3-4(norm=none, act=relu)] -> b3: id
  box.t3 -> centre: conv3-1(norm=none, act=none) -> z3: id
  p4 -> again(cls) -> c4: id
  p4 -> again(box.tower) -> t4: id -> again(box.reg) -> b4: id
  t4 -> again(centre) -> z4: id
  p5 -> again(cls) -> c5: id
  p5 -> again(box.tower) -> t5: id -> again(box.reg) -> b5: id
  t5 -> again(centre) -> z5: id
]
output head.c3, head.b3, head.z3, head.c4, head.b4, head.z4, head.c5, head.b5, head.z5""",
    "convolutions with norms of their own": f"""{PYRAMID}cls: [
  p3 -> rep0: conv3-8(norm=none, act=none) -> bn0_3: bn -> silu -> predict: conv3-6(act=none) -> c3: id
  p4 -> again(rep0) -> bn0_4: bn -> silu -> again(predict) -> c4: id
  p5 -> again(rep0) -> bn0_5: bn -> silu -> again(predict) -> c5: id
]
output cls.c3, cls.c4, cls.c5""",
    "joined": f"{PYRAMID}[p3 -> h: [conv3-8 -> conv1-4] -> gap | p4 -> again(h) -> gap | p5 -> again(h) -> gap] -> fc-3",
    "first on the smallest map": f"""{PYRAMID}
p5 -> h: [conv3-8 -> conv3-8(act=none)] -> x: id
p4 -> again(h) -> y: id
p3 -> again(h) -> [id | y -> upsample(2) | x -> upsample(4)]""",
    "a layer": "input 8x16x16\nc: conv3-8(norm=bn) -> again(c) -> again(c) -> relu -> again(c, dilation=2) -> fc-2",
    "a layer with other activations": """input 8x16x16
c: conv3-8(act=none) -> relu -> [again(c) + id] -> again(c, act=relu) -> gelu -> again(c)""",
    "a layer whose norm has no name that it brings": """input 8x16x16
c: conv3-8(bias=no, act=none) -> n: bn -> relu -> again(c) -> again(n) -> relu -> again(c) -> again(n)""",
    "a layer and the level around it": """input 8x16x16
a: [c: conv3-8 -> d: conv3-8]
b: [e: conv3-8]
[a + b] -> again(a.c) -> again(a) -> gap""",
    "with a tensor": "input 8x16x16\nh: [[conv3-8 & s: tensor(8, 1, 1)] -> conv1-8]\nagain(h) -> again(h) -> gap",
    "a network on two inputs": """input left: 3x32x32
input right: 3x32x32
default conv(norm=bn)
block unit(w, s=1) = [conv3-w/s -> conv3-w + shortcut] -> relu
left -> net: [conv7-8/2 -> layer1: [[unit(8)]*2] -> layer2: [unit(16, 2) -> unit(16)]] -> gap -> l: id
right -> again(net) -> gap -> r: id
[l & r] -> fc: fc-1""",
    "used again inside as well": """input 8x16x16
h: [a: conv3-8(act=none) -> again(a) -> b: conv3-8(act=none)]
again(h) -> [again(h) + id] -> gap""",
    "a norm first": """input 3x32x32
conv3-8/2(act=none) -> p: id
conv3-8/2(act=none) -> q: id
p -> h: [bn -> relu -> conv3-8(act=none)] -> x: id
q -> again(h) -> y: id
output x, y""",
    "what follows differs": """input 8x32x32
h: [conv3-8 -> conv3-8(act=none)] -> [id + pool -> upsample(2)] -> x: id
again(h) -> relu -> maxpool -> again(h) -> y: id
output x, y""",
    "in each of several levels": "input 8x16x16\n[l{i}: [c: conv3-8 -> again(c) -> d: conv1-8] for i in 1..3] -> fc-2",
}


@pytest.mark.parametrize("text", REUSED.values(), ids=REUSED)
def test_modules_that_are_used_several_times(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        short = folded(graph, names)
        assert size(short) <= SHORTER * size(text)


def test_a_head_on_several_levels_is_written_once() -> None:
    text = folded(cnnc.parse(REUSED["a head of two branches"]).graph)
    assert "head: [[cls: [conv3-8 -> conv3-4] | box: [conv3-8 -> conv3-2]]] -> o3: id\n" in text
    assert text.count("conv") == 8 and text.count("again(head)") == 2
    text = folded(cnnc.parse(REUSED["in each of several levels"]).graph)
    assert "block unit = c: conv3-8 -> again(c) -> d: conv1-8\n" in text


STEPS = (
    "conv3-8(act=none)", "conv3-8", "conv1-8(norm=bn)", "conv3-8(norm=gn(groups=2), act=silu)", "bn", "relu", "gelu",
    "_: [conv3-8 -> bn]", "[id + conv3-8(act=none)]", "[conv1-8(act=none) & gap -> conv1-8(act=sigmoid)]",
    "maxpool3/1(pad=1)", "dwconv3(norm=bn, act=none)",
)  # fmt: skip


def with_heads(random: Random) -> str:
    """A network in which levels are used again, on any map before."""

    def steps(most: int) -> str:
        return " -> ".join(random.choices(STEPS, k=random.randint(1, most)))

    lines = ["input 8x16x16", *random.choices(["default conv(norm=bn)", ""]), "conv3-8 -> m0: id"]
    heads: list[str] = []
    count = random.randint(3, 8)
    for i in range(1, count):
        flow = f"m{random.randrange(i)}"
        if not heads or random.random() < 0.35:
            body = random.choice([
                f"{steps(4)}", f"in{i}: [{steps(3)}] -> {steps(2)}", f"[a: [{steps(3)}] | b: [{steps(1)} -> conv1-4]] -> conv1-8",
            ])  # fmt: skip
            heads.append(random.choice(["", "head.", "p.q."]) + f"h{i}")
            step = f"{heads[-1]}: [{body}]"
        else:
            step = f"again({random.choice(heads)})" if random.random() < 0.8 else steps(1)
        lines.append(f"{flow} -> {step} -> m{i}: id")
    maps = random.choice([" | ", " + "]).join(f"m{i}" for i in range(count))
    return "\n".join([*lines, f"[{maps}] -> gap -> fc-3"])


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(i, marks=pytest.mark.slow) for i in range(8, 400))]
)
def test_heads_at_random(seed: int) -> None:
    try:
        graph = cnnc.parse(with_heads(Random(seed))).graph
    except cnnc.CnncError as error:
        if "E406" not in str(error):
            raise
        pytest.skip("a default activation stays at one use and not at another")
    for names in MODES:
        folded(graph, names)


def test_weights_the_other_way_stay_where_they_are() -> None:
    net = cnnc.parse("input 8x16x16\nc: conv3-4 -> again(c, transpose=yes) -> conv3-8")
    assert folded(net.graph) == format_source(Source("net.cnn", net.expand()))


# --- levels alike but for a chain ----------------------------------------------------------

TOWER = """input left: 3x32x32
input right: 3x32x32
default conv(norm=bn)
left -> a: [c1: conv3-16 -> {0} -> c2: conv3-16 -> pool -> c3: conv3-32 -> c4: conv3-32(act=none) -> gap -> fc: fc-10]
right -> b: [c1: conv3-16 -> {1} -> c2: conv3-24 -> pool -> c3: conv3-32 -> c4: conv3-32(act=none) -> gap -> fc: fc-10]
[a + b]"""
ONE_CHAIN = {
    "one lacks it": ("lrn(5)", "id"),
    "another layer": ("pool(pad=1)", "conv3-8 -> upsample(1)"),
    "with a key": ("extra: conv1-16", "id"),
    "with branches": ("[id & gap -> se: conv1-C(norm=none, act=sigmoid)]", "drop: dropout"),
    "with a label that is needed": ("e: conv1-16 -> conv1-16 -> [id + e]", "conv1-16 -> [id & gap]"),
    "with one that leaves the level": ("e: conv1-16 -> conv1-8", "e: conv1-16 -> conv1-8 -> bn"),
}


@pytest.mark.parametrize("chains", ONE_CHAIN.values(), ids=ONE_CHAIN)
def test_levels_alike_but_for_a_chain(chains: tuple[str, str]) -> None:
    text = TOWER.format(*chains)
    if chains[1].startswith("e: "):
        text = text.replace("[a + b]", "[a + b] -> out: id\n[a.e + b.e] -> more: id\noutput out, more")
    graph = cnnc.parse(text).graph
    for names in MODES:
        folded(graph, names)


def test_a_block_is_handed_the_chain_in_which_its_levels_differ() -> None:
    text = folded(cnnc.parse(TOWER.format("lrn(5)", "id")).graph)
    assert "block b_block(inner, w=16) = [" in text or "(w, inner) = [" in text
    assert text.count("[lrn]") == text.count("[id]") == 1


# --- outputs and inputs of levels ----------------------------------------------------------

OUTPUTS = {
    "two of one level": """input 8x16x16
head: [a: conv3-8 -> list: [p1: permute(H, W, C) -> p2: permute(W, C, H)]]
output head.list.p1, head.list.p2""",
    "joins by a counter's name": """input 8x16x16
a: conv3-8
b: conv3-8/2
c: conv1-4
a -> d: conv1-4
concat1: [a | d]
b -> e: conv5-8
concat2: [e | c]
output concat1, concat2""",
    "of its inner levels": """input 8x16x16
body: [a: conv3-8 -> s: [b: conv3-8 -> c: relu]]
body -> gap -> main: fc-4
output body.a, body.s.c, main""",
    "one known by a label of a level": """input 8x16x16
body: [a: conv3-8 -> s: [b: conv3-8]]
body.a -> conv1-2 -> side: id
output body.s, side""",
}


@pytest.mark.parametrize("text", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_inside_levels_are_known_by_their_paths(text: str) -> None:
    graph = cnnc.parse(text).graph
    for names in MODES:
        assert folded(graph, names).splitlines()[-1] == text.splitlines()[-1]


def test_a_chain_goes_on_with_what_comes_of_the_first_input() -> None:
    graph = cnnc.parse(
        "input x: 8x9x9\ninput t: 8x1x1\nx -> stem: conv3-8\nt -> temb: linear-8\n"
        "a: [stem -> u: [n: bn -> m: [id & temb] -> c: conv3-8] -> d: conv3-8]\n[id + stem] -> fc-2"
    ).graph
    text = folded(graph)
    assert "x -> stem: conv3-8\n[a: [u: [n: bn -> [id & temb] -> c: conv3-8] -> d: conv3-8] + id]" in text


def test_a_level_that_no_key_needs_is_none() -> None:
    """Where it has one layer: timm's `global_pool` says nothing that `gap` does not."""
    graph = cnnc.parse("input 8x9x9\na: conv3-8\nhead.pool: [gap]\nhead.flat: [gap -> relu]\nfc: fc-2").graph
    assert "-> head: [gap -> flat: [gap -> relu]] -> fc: fc-2" in folded(graph)
    graph = cnnc.parse("input 8x9x9\na: conv3-8 -> p: [q: gap]\noutput p.q").graph
    assert "a: conv3-8 -> p: [q: gap]\noutput p.q\n" in folded(graph)


def test_a_list_of_branches_is_no_level() -> None:
    """Of which each goes elsewhere, as HRNet's `branches` and what brings them to one size."""
    text = folded(cnnc.parse(
        "input 8x16x16\n\"input\" -> b.0.c: conv3-8 -> b.0.d: conv3-8\n\"input\" -> b.1.c: conv3-8 -> b.1.d: conv3-8\n"
        "b.0.d -> f.0: conv1-8(act=none)\n[f.0 + b.1.d] -> relu -> x: conv3-4\n"
        "b.1.d -> f.1: conv1-8(act=none)\n[b.0.d + f.1] -> relu -> [id | x] -> gap -> fc: fc-5"
    ).graph)  # fmt: skip
    assert "b.0: " in text and "b.1: " in text and "b: " not in text
