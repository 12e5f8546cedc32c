"""What a model's constructor takes: `Model(n=v)` is the network that `-D n=v` compiles, or `n` is no argument."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnnc
from cnnc.reference import Layer, layers

torch = pytest.importorskip("torch")

LAYERS = [record for record in layers() if record.sample is not None]


def model_of(net: cnnc.Net) -> Any:
    """The class of a network's file."""
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(net.pytorch(), "net.py", "exec"), scope)
    return scope["Net"]


def shown(model: Any) -> tuple[str, dict[str, tuple[int, ...]]]:
    """A module's structure: every layer with its numbers, and every tensor."""
    return repr(model), {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def agrees(text: str, values: dict[str, list[object]]) -> set[str]:
    """Check each value of each param that the constructor takes; the params that it takes."""
    with torch.device("meta"):
        model = model_of(cnnc.parse(text))
        taken = set(inspect.signature(model).parameters)
        for name in taken & set(values):
            for value in values[name]:
                try:
                    wanted = cnnc.parse(text, **{name: value})
                except cnnc.CnncError:
                    continue  # what cannot be compiled need not be refused in the same words
                found = shown(model(**{name: value}))
                assert found == shown(model_of(wanted)()), f"{name}={value} in\n{text}"
                # The other file was written by the same rules; the graph's tensors were not.
                tensors = {key: tuple(shape) for _, key, shape in wanted.graph.tensors()}
                assert found[1] == tensors, f"{name}={value} in\n{text}"
    return taken


@pytest.mark.parametrize(
    ("body", "values", "taken"),
    [
        ("param n = 8\nconv3-{n} -> [conv3-16 if n > 1000 else conv1-16] -> gap -> fc-10", [4, 999, 2000], set()),
        ("param n = 8\nconv3-64 -> [conv3-64]*{max(2, n // 50)} -> gap -> fc-{n}", [50, 99, 150, 500], set()),
        ("param n = 8\nconv3-{n} -> conv3-{max(2, n // 3)} -> fc-{n}", [1, 6, 100], {"n"}),
        ("param n = 8\nconv3-{16 if n > 9 else n} -> gap -> fc-{2*n}", [1, 9, 10], {"n"}),
        ("param n = 8\nparam m = 2 * n\nconv3-n -> conv3-m", [3, 20], {"n"}),
        ("param n = 9\nblock b(w) = conv3-{floor(w * 2)}\nb(n / 3) -> gap", [4, 5, 7], set()),
        ("param n = 9\nconv3-{floor(n / 2 * 3)} -> conv3-{ceil(n / 4)} -> gap", [4, 5, 7, 8], {"n"}),
        ("param n = 9\nconv3-{round(n / 4)} -> conv3-{ceil(n * 0.3)} -> gap", [4, 5, 6, 7, 10], {"n"}),
        ("param n = 3\nconv3-{8 if n > 9 or n < 2 else 4} -> gap", [1, 5, 10], {"n"}),
        ("param n = 3\nconv3-{8 if n > 2 and not n > 9 else 4} -> gap", [1, 5, 10], {"n"}),
        ("param n = 3\nconv3-{(4 if n < 3 else 5) if n > 1 else 6} -> gap", [1, 2, 5], {"n"}),
        ("param f = 1.0\nconv3-{floor(100 * f)} -> conv3-{divisible(20 * f, 8)}", [0.29, 1.4, "1/3", 0.57], {"f"}),
        ("param f = 0.5\nconv3-{divisible(32, 8)} -> conv3-{divisible(6, f)}", [1.5, 2, 3], {"f"}),
        ("param n = 8\nblock b(w) = [conv3-w -> conv3-w + shortcut]\nconv3-16 -> b(n) -> b(n) -> b(2*n)", [16, 4], set()),
        ("param n = 8\nblock b(w) = [conv3-w -> conv3-w + shortcut]\nconv3-n -> b(n) -> b(n) -> b(2*n)", [16, 4], {"n"}),
        ("param n = 8\nblock b(w) = [conv3-w -> conv3-w(act=none) if w > 10 else conv1-w(act=none)]\nb(n) -> b(20) -> bn", [9, 11, 20], {"n"}),
        ("param n = 8\nblock b(w) = [conv3-w if w > 10 else conv1-w]\nb(n) -> b(20) -> bn", [9, 11, 20], set()),
        ("param n = 8\nblock b(w) = [conv3-12(act=none) if w > 10 else conv1-15(act=none)]\nb(n) -> b(20) -> conv3-4", [9, 30], set()),
        ("param n = 3\nblock b(w, d) = [conv3-w(act=none)]*d\nb(8, n) -> b(9, 4)", [1, 2, 5], set()),
        ("param n = 2\nconv3-{n + 4} -> conv3-{8 + sum((16, 3)[n..])}", [0, 1], set()),
        ("param n = 2\nconv3-{n + 4} -> [conv3-8 if n in (16, 3)[n..] else conv3-9]", [0, 1], set()),
        ("param n = 3\n[conv3-{n*i} for i in 1..3] -> gap", [1, 5], {"n"}),
        ("param n = 3\nblock b(k) = [conv3-{k*i}(act=none) for i in 1..4]\nb(n) -> b(5) -> gap", [1, 5], {"n"}),
        ("param n = 3\nblock b(k) = [conv3-{k + i*i}(act=none) for i in 1..2]\nb(n) -> b(5) -> gap", [1, 5], {"n"}),
        ("param n = 3\n[conv3-4 for i in 1..n] -> gap", [1, 5], set()),
        ("param n = 3\nc{n}: conv3-4 -> gap", [1, 5], set()),
        ("param s = 2\nconv3-4/s -> flatten -> fc-4", [1, 4], set()),
        ("param k = 3\nconv{k}-4 -> dwconv{k} -> gap", [1, 5], set()),
        ("param p = 0.5\nconv3-4 -> dropout(p) -> gap", [0.1], set()),
        ("param g = 2\nconv3-8 -> conv3-8(groups=g) -> gn(g)", [1, 4], {"g"}),
        ("param norm = bn\nconv3-8 -> norm -> gap", ["none", "in"], set()),
        ("param on = yes\nconv3-8(bias=on) -> gap", ["no"], set()),
        ("param n = 8\ninput 3x{n}x{n}\nconv3-8 -> flatten -> fc-4", [4, 16], set()),
        ("param n = 8\ninput 3x6x10\n[conv3-{n * H}] -> [conv1-{n + W}] -> [conv1-{n * C - H}] -> gap", [4, 16], {"n"}),
        ("param p = same\nconv3-8(pad=p) -> gap", ["valid"], set()),
        ("param p = 2\nconv4-8(pad=p) -> gap", [1, 3], set()),
        ("param n = 8\nblock b(k, w) = conv{k}-{w}(pad=k // 2)\nb(4, n) -> b(2, n) -> b(3, n)", [4, 16], {"n"}),
        ("param n = 8\nblock b(k, w) = conv{k}-{w}\nb(1, n) -> b(3, n) -> b(5, 2 * n)", [4, 16], {"n"}),
        ("param n = 8\nblock b(k, w) = conv{k}-{w}\n[b(2 * k - 1, n) for k in 1..3]", [4, 16], {"n"}),
        ("param on = yes\nparam n = 4\nconv3-{8 if on else n} -> gap", ["no"], set()),
        ("param n = 4\nparam on = yes\nconv3-{8 if on else n} -> gap -> fc-n", [5], {"n"}),
        ("param n = 4\nblock b(on, w) = conv3-{w if on else 8}\nb(yes, n) -> b(no, n) -> b(yes, 2 * n)", [5], {"n"}),
        ("param n = 8\nblock b(w) = conv3-w -> [id if w > 10 else conv3-w(act=none)]\nb(n) -> b(20) -> bn", [9, 11, 30], set()),
        ("param n = 8\nblock b(w) = [bn -> conv3-w(act=none) if w > 10 else conv1-w(act=none)]\nconv3-8 -> b(n) -> b(20) -> bn", [9, 11, 30], set()),
        ("param n = 8\nblock b(w) = [bn -> conv3-w(act=none) if w > 10 else conv1-w(act=none)]\nconv3-8(act=none) -> b(n) -> b(20) -> bn", [9, 11], {"n"}),
        ("param n = 8\nblock b(w) = [conv3-w(act=none) -> bn if w > 10 else conv1-w(act=none)]\nconv3-8 -> b(n) -> b(20) -> bn", [9, 11, 30], {"n"}),
        ("param n = 8\nblock b(w) = [dropout -> bn -> conv3-w(act=none) if w > 10 else dropout -> conv1-w(act=none)]\nconv3-8 -> b(n) -> b(20) -> bn", [9, 11], set()),
        ("param n = 8\nblock b(w) = [id if w > 10 else conv1-w(act=none)] -> [conv3-w(act=none) -> bn + conv1-w(act=none)]\nconv3-8 -> b(n) -> b(20) -> bn", [9, 11], set()),
        ("param n = 4\nconv3-8(pad_mode=(reflect if n > 2 else zeros)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nconv3-8(pad=(same if n > 2 else valid)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nblock b(w) = conv3-8(pad=(same if w > 2 else valid)) -> conv1-w\nb(n) -> b(8)", [1, 5], set()),
        ("param n = 4\nconv3-8(init=(he if n > 2 else xavier)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nconv3-8(reparam=(weight_norm if n > 2 else none)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nscale(each=(one if n > 2 else channel)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nupsample(2, mode=(bilinear if n > 2 else nearest)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nconv3-8(act=(relu if n > 2 else gelu), bias=(n > 3)) -> conv1-n", [1, 5], set()),
        ("param n = 4\nparam p = same\nconv3-8(pad=p, pad_mode=reflect, init=he) -> conv1-n", [1, 5], {"n"}),
        ("param n = 1\ninput 3x16x16\ndefault conv(groups=n)\nconv3-9 -> conv3-9", [3], {"n"}),
        ("param n = 4\nx: conv3-n -> [id | conv3-4 -> conv3-{n if n > 5 else 6}] -> conv3-{C + n} -> dwconv3 -> bn", [2, 9], {"n"}),
    ],
)  # fmt: skip
def test_a_param_is_an_argument_only_where_it_may_change(
    body: str, values: list[object], taken: set[str]
) -> None:
    text = body if "input" in body else f"input 3x16x16\n{body}"
    name = text.partition("param ")[2].partition(" ")[0]
    assert agrees(text, {name: values}) & {name} == taken


# --- every layer ------------------------------------------------------------------------------

OF_THE_MAP = {
    "bias", "local", "mean", "max", "sum", "ln", "l2norm", "softmax", "logsoftmax", "crop", "squeeze", "permute", "slice", "resize",
    "capsule", "stn",
}  # fmt: skip
"""Layers whose text is worked out of the sizes that flow in, so that these stay as they are."""
MAY_CHANGE = """
[id & gain: tensor(m, 1, 1, init=1)]; [id & gain: tensor(64, m, 1, init=1)]; [id & gain: tensor(64, 1, m, init=1)]
conv3-{m}/2; sepconv3-{m}/2; tconv2-{m}/2; fc-{m}; linear-{m}; rbf-{m}; adaptiveavgpool{m}; adaptivemaxpool{m}
fractionalmaxpool{m}(ratio=0.7); gn(m); lrn{m}(k=2); evonorm(groups=m); maxout(m); squash(m); shuffle(m)
shortcut_pad(width=m, stride=2); chunk(m, 0); chunk(2, m); lstm-{m}(bidirectional=yes); gru-{m}; capslength(m); capsmask(m)
attend(q=[conv1-{m}], k=[conv1-64], v=[conv1-64], heads=8); attend(q=[conv1-64], k=[conv1-{m}], v=[conv1-64], heads=8)
attend(q=[conv1-64], k=[conv1-64], v=[conv1-{m}], heads=8); stn([conv7-{m}(pad=valid) -> pool -> fc-32])
"""
"""Of the numbers in the layers' examples, those that the text of a module leaves open; others shape what is written."""


def numbers_of(example: str) -> list[tuple[str, int]]:
    """An example with each of its whole numbers in turn as `m`, and the number."""
    out = []
    for found in re.finditer(r"(?<![\d.e])(?<!\de-)\d+(?![\d.]|e-)", example):
        before, after = example[: found.start()], example[found.end() :]
        in_word = re.search(r"[a-z/]\d*-?$", before) is not None or before.count("(") == before.count(")")
        out.append((f"{before}{'{m}' if in_word else 'm'}{after}", int(found[0])))
    return out


@pytest.mark.parametrize("record", LAYERS, ids=lambda record: record.kind)
def test_every_layer_behind_a_width_that_may_change(record: Layer) -> None:
    first, *rest = str(record.sample.inflow).split("x")
    word = "conv1" if rest else "fc"
    text = (
        f"param n = 8\ninput {record.sample.inflow}\n{word}-{{n * {int(first) // 8}}} -> {record.example}\n"
    )
    assert ("n" in agrees(text, {"n": [16, 4, 7]})) is (record.kind not in OF_THE_MAP)


@pytest.mark.parametrize(
    "record",
    [
        record for record in LAYERS if record.kind not in ("relu6", "l2norm", "reshape")
    ],  # names, and sizes joined by x
    ids=lambda record: record.kind,
)
def test_every_number_of_every_layer_as_a_param_and_as_a_blocks(record: Layer) -> None:
    open_ones = {line.strip() for line in re.split(r"[;\n]", MAY_CHANGE)}
    for body, number in numbers_of(record.example):
        for lines in (body, f"block b(m) = {body}\nb(k)"):
            name = "k" if lines.startswith("block") else "m"
            head, _, layer = lines.rpartition("\n")
            text = f"param {name} = {number}\n{head}\ninput {record.sample.inflow}\n{layer}\n"
            taken = agrees(text, {name: [number + 1, max(number - 1, 0), 2 * number]})
            assert (name in taken) is (body in open_ones), text


# --- whatever can be written ----------------------------------------------------------------

NUMBERS = st.one_of(st.sampled_from(["n", "m"]), st.integers(1, 12).map(str))


def _arithmetic(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "//", "/", "%"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("{}({} / {})".format, st.sampled_from(["floor", "ceil", "round"]), inner, inner),
        st.builds("divisible({}, {})".format, inner, st.sampled_from(["4", "8"])),
        st.builds("({} if {} {} {} else {})".format, inner, inner, st.sampled_from("<>"), inner, inner),
    )


EXPRESSIONS = st.recursive(NUMBERS, _arithmetic, max_leaves=3)
CONDITIONS = st.builds("{} {} {}".format, EXPRESSIONS, st.sampled_from(["<", ">=", "=="]), EXPRESSIONS)


def _layers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} -> {}".format, inner, inner),
        st.builds("[{} if {} else {}]".format, inner, CONDITIONS, inner),
        st.builds("[{}]*{{{}}}".format, inner, EXPRESSIONS),
        st.builds("[conv3-{{i + {}}} for i in {}..{}]".format, EXPRESSIONS, st.integers(1, 2), NUMBERS),
        st.builds("[id | {}]".format, inner),
        st.builds("[{} + shortcut]".format, inner),
    )


WORDS = st.one_of(
    st.builds("conv{}-{{{}}}".format, st.sampled_from("13"), EXPRESSIONS),
    st.builds("conv3-{{{}}}(act=none)".format, EXPRESSIONS),
    st.builds("conv3-{{{}}}/2".format, EXPRESSIONS),
    st.builds("{}({}, {})".format, st.sampled_from("ab"), EXPRESSIONS, EXPRESSIONS),
    st.sampled_from(["bn", "dwconv3", "pool", "conv3-{C}", "conv1-{2*C}"]),
)
CHAINS = st.recursive(WORDS, _layers, max_leaves=4)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(
    a=CHAINS.filter(lambda text: "a(" not in text and "b(" not in text), chain=CHAINS, tail=st.sampled_from(["gap", "gap -> fc-5", "flatten -> fc-{n}", "bn"]),
    n=st.integers(1, 12), m=st.integers(1, 12), other=st.lists(st.integers(1, 40), min_size=2, max_size=3),
)  # fmt: skip
def test_random_params_choices_and_counts(
    a: str, chain: str, tail: str, n: int, m: int, other: list[int]
) -> None:
    text = (
        f"input 3x16x16\nparam n = {n}\nparam m = {m}\nblock a(n, m) = {a}\n"
        f"block b(n, m) = [conv3-n -> bn if m > 4 else conv1-n(act=none)] -> [conv3-n + shortcut]\n{chain} -> {tail}"
    )
    try:
        cnnc.parse(text)
    except cnnc.CnncError:
        return
    agrees(text, {"n": list(other), "m": list(other)})


def test_a_block_whose_own_number_is_called_in_channels() -> None:
    text = """
    input 4x7x5
    param q = 1
    block b(in_channels, n) = conv3-n
    b(1, 4) -> conv1-q -> b(2, 4)
    """
    assert agrees(text, {"q": [2, 3]}) == set()  # q is no argument, or Model(q=2) would not agree
