"""What an earlier call placed is copied: nothing of the graph, and nothing that is said of it, tells so."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.compiler.build import build
from cnnc.compiler.ops import Op
from cnnc.compiler.walk import copies
from cnnc.compiler.walk.copies import Copies
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.compiler.walk.values import CallStep, Turn
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source, Span
from tests.fuzz.corpus import specs
from tests.fuzz.mutate import changed
from tests.sampling import sampled

SPECS = sorted((Path(cnnc.__file__).parent / "specs").glob("*.cnn"))


class Told:
    """All that can be reached from an object, in plain tuples, and which steps of ways are the same object."""

    def __init__(self) -> None:
        self.steps: dict[int, int] = {}

    def of(self, x: object) -> object:
        if isinstance(x, Span):
            return x.source.name, x.start, x.end
        if isinstance(x, Source):
            return x.name
        if isinstance(x, Turn | CallStep):
            if id(x) in self.steps:
                return self.steps[id(x)]
            self.steps[id(x)] = len(self.steps)
        if isinstance(x, Op):
            return type(x), repr(x)
        if is_dataclass(x) and not isinstance(x, type):
            return type(x), tuple(self.of(getattr(x, field.name)) for field in fields(x))
        if isinstance(x, Mapping):
            return [(key, self.of(value)) for key, value in x.items()]
        if isinstance(x, list | tuple):
            return type(x), [self.of(part) for part in x]
        return type(x), repr(x)


def outcome(text: str, name: str, limit: int, **given: Any) -> object:
    """The graph that a text comes to, with its sources and warnings, or what is wrong with it."""
    try:
        graph = build(parse(Source(name, text)), max_layers=limit, **given)
    except CnncError as error:
        return [Told().of(found) for found in error.diagnostics]
    except RecursionError:
        return RecursionError
    return Told().of(graph)


def walked(monkeypatch: pytest.MonkeyPatch, of: Callable[[], object]) -> object:
    """What something comes to where every call is walked."""
    with monkeypatch.context() as patch:
        patch.setattr(Copies, "placed", lambda self, *args: args[-1]())
        return of()


class Counted:
    """How many calls were copied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.copied = copies._Body.copied

        def copied(body: copies._Body, *args: Any) -> Any:
            self.calls += 1
            return self.copied(body, *args)

        monkeypatch.setattr(copies._Body, "copied", copied)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def check(
    monkeypatch: pytest.MonkeyPatch, text: str, name: str = "net.cnn", limit: int = MAX_LAYERS, **given: Any
) -> None:
    copied = outcome(text, name, limit, **given)
    assert copied == walked(monkeypatch, lambda: outcome(text, name, limit, **given)), text


@pytest.mark.parametrize("path", sampled(SPECS, 3), ids=lambda path: path.stem)
def test_specs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, path.read_text(encoding="utf8"), str(path))


MANY = {"efficientnet_b0": 10, "nasnet_a_mobile": 30, "resnet50": 8, "mobilenet_v2": 5}


@pytest.mark.parametrize("stem", MANY)
def test_calls_are_copied(stem: str, counted: Counted) -> None:
    """Else the others here compare nothing."""
    cnnc.load(f"zoo:{stem}")
    assert counted.calls >= MANY[stem]


@pytest.mark.parametrize("path", sampled(SPECS, 20), ids=lambda path: path.stem)
def test_what_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network, its code and its core, word for word."""

    def texts() -> list[str]:
        net = cnnc.load(path)
        return [str(net.to_dict()), net.pytorch(), net.expand(), net.summary()]

    assert texts() == walked(monkeypatch, texts)


HEAD = "input 8x16x16\ndefault conv(norm=bn, act=relu)\n"
TEXTS = {
    "labels inside": "block b(n) = a: conv3-n -> p: [q: conv1-n -> relu] -> conv1-n\nx: b(8) -> y: b(8)\n[x.a + y.a + y.p.q] -> b(8)\n",
    "a tap that is used by one call": "block b = t: id -> conv1-C\nb -> y: b -> b\n[id | y.t]\n",
    "a tap that no call uses": "block b = t: id -> conv1-C\n[b]*3 -> y: b\n",
    "weights used again": "block b = c: conv1-C -> relu\nx: b -> y: b -> again(x) -> again(y.c)\n",
    "weights used again inside": "block b = c: conv1-C -> relu -> again(c)\nb -> b -> b\n",
    "the weight of a layer": "block b = c: conv1-C\nb -> y: b\nweight(y.c) -> flatten -> w: fc-3\noutput y, w\n",
    "a shared module": "shared m = conv1-8 -> relu\nblock b(n) = conv1-n -> m\n[b(8)]*3\n",
    "a block in a shared module": "block b = conv1-C -> [conv1-C if C == 8]\nshared m = b\nm -> b -> relu -> m -> b -> b\n",
    "fitted branches": "block b = [conv3-8/2 | crop]\nconv1-8 -> b -> conv1-8 -> upsample(2) -> b\n",
    "shortcuts": "block b(n, s=1) = [conv3-n/s -> conv3-n + shortcut]\nb(8) -> b(8) -> b(16, 2) -> b(16) -> b(16)\n",
    "what the size of an argument is": "block b = p: maxpool2/2(pad=0) -> conv1-C -> unpool(p)\nb -> b -> b\n",
    "choices after a default activation": "block b = [conv1-C -> conv1-C if C == 8 else id]\nconv1-8 -> b -> id -> [b + b] -> b\n",
    "what is read of the flow": "block b = [conv1-{C*2} -> conv1-{C/2} if W > 4] -> [maxpool2 if H > 8]\n[b]*4\n",
    "words and flags": "block b(act, on=yes) = conv1-C(act=act, bias=on) -> [relu if on]\nb(silu) -> b(silu, no) -> b(silu) -> b(leaky(0.1)) -> b(leaky(0.1))\n",
    "equal numbers of other kinds": "block b(n) = dropout(n) -> conv1-C\nb(0) -> b(0.0) -> b(0/2) -> b(0) -> b(no)\n",
    "pipelines": "block in(p) = p -> conv1-C\nblock b(n) = in([conv1-n]) -> in([conv3-n])\nin([relu]) -> b(8) -> b(8) -> in([relu])\n",
    "lists": "block b(*ws) = [conv1-w for w in ws] -> [conv1-{ws[0]} if len(ws) > 1]\nb(8) -> b(8) -> b(8, 4) -> b(8, 4) -> b(4, 8)\n",
    "params of the file": "param w = 8\nblock b(n) = conv1-{n*w/8} -> [conv1-w if w > n else conv1-n]\nb(w) -> b(w) -> b(w + 0) -> b(2*w) -> b(w)\n",
    "other files": 'use excite as e from std\nuse resnet18 from "zoo:resnet18"\n[conv1-8 -> e(r=2)]*2\n',
    "fractions that layers take": "block b(p) = conv1-C -> [droppath(p) + id] -> leaky(p)\nb(0.1) -> b(0.2) -> b(1/3) -> b(0) -> b(0.2)\n",
    "fractions that decide": "block b(p) = [conv1-C if p > 1/4 else relu] -> dropout(p)\nb(0.1) -> b(0.5) -> b(0.2) -> b(0.5)\n",
    "fractions in arithmetic": "block b(p) = dropout(p) -> conv1-{floor(8*p)} -> conv1-8 -> dropout(p/2)\nb(0.5) -> b(0.75) -> b(1/4)\n",
    "fractions handed on": "block in(q) = dropout(q)\nblock b(p) = in(p) -> conv1-C -> in(1/3)\nb(0.5) -> b(0.75) -> b(0.5)\n",
    "fractions that do not fit": "block b(p) = conv1-C -> dropout(p)\nb(0.5) -> b(1.5) -> b(0.75) -> b(-1/2)\n",
    "fractions that change a size": "block b(p) = resize(p) -> conv1-C\nb(1.5) -> b(1/2) -> [b(1.25)]*2 -> b(1.01)\n",
    "fractions of a layer that another looks at": "block b(p) = a: leaky(p) -> conv1-C -> [id + a]\nx: b(0.5) -> y: b(1/4) -> [id | x.a | y.a]\n",
    "fractions in words": "block b(p, act=leaky(p)) = conv1-C(act=act) -> leaky(p)\nb(0.5) -> b(1/4) -> b(1/8)\n",
    "fractions and a default activation": "block b(p) = dropout(p) -> [conv1-C if C == 8]\nconv1-8 -> b(0.5) -> bn -> b(0.25) -> conv1-8 -> b(0.2)\n",
    "fractions on the way that a shortcut goes round": "block b(p) = [resize(p) -> conv3-8 + shortcut]\nb(1.01) -> b(1.02) -> b(1.02) -> b(1.03) -> b(2.5)\n",
    "fractions of turns": "block b(p) = [dropout(q) -> conv1-C for q in p, 1/3]\nb(0.5) -> b(0.25) -> b(1/3)\n",
    "fractions in lists of turns": "block b(p) = [dropout(q) -> conv1-C for q, r in (p, 1), (1/3, p)] -> [dropout(q[0]) for q in ((p, 1), (1/3, 2))]\nb(0.5) -> b(0.25) -> b(1/3)\n",
    "many calls that all differ": "block b(n) = conv1-C -> dropout(n/999)\nblock c(n) = conv1-{n}\n[b(1)]*2 -> [c(i) -> b(i) for i in 1..70] -> [b(1)]*2 -> [c(8)]*3\n",
    "a mistake": "block b = conv1-C -> conv9-3(pad=0)\nb -> b -> conv1-x -> [b]*2\n",
    "a mistake in one": "block b = conv3-C(pad=0) -> [conv1-C if W > 8 else conv1-q]\n[b]*6\n",
}


@pytest.mark.parametrize("case", TEXTS)
def test_cases(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, HEAD + TEXTS[case])


def test_values_from_outside(monkeypatch: pytest.MonkeyPatch, counted: Counted) -> None:
    text = HEAD + TEXTS["params of the file"]
    check(monkeypatch, text, params={"w": 16})
    assert counted.calls
    check(monkeypatch, text, sizes={None: (8, 5, 7)})
    before = counted.calls
    check(monkeypatch, text, sizes={None: (8, "H", "W")})
    check(monkeypatch, text + "-> gap -> fc-10", heads={None: 3})
    assert counted.calls > before  # for the second the network without the head is made first


STEPS = "block b = [[conv1-C -> relu if W > 4] -> [maxpool2 if W > 4]]*6 -> [id]*2\n"


@pytest.mark.parametrize("calls", ["b -> b -> b", "[b]*3", "b -> [conv1-8]*5 -> b -> [b -> upsample(8)]*4"])
def test_limits(calls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a model becomes too large is where it would become so when walked."""
    for limit in range(1, 60):
        check(
            monkeypatch,
            f"{HEAD}{STEPS}block c = b -> upsample(4) -> b\n{calls} -> upsample(4) -> c\n",
            limit=limit,
        )


@pytest.mark.parametrize("deep", range(58, 66))
def test_depth(deep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "block f(n) = [f(n - 1) if n > 0 else conv1-C]\nblock g(n) = f(n)\n"
    check(monkeypatch, f"{HEAD}{body}f(3) -> f({deep}) -> g({deep})\n")
    brackets = f"block f(n) = {'[' * 4 * deep}conv1-C{']' * 4 * deep}*2\nblock g = f(8)\n"
    check(monkeypatch, f"{HEAD}{brackets}f(8) -> {'[' * 4 * deep}g{']' * 4 * deep}\n")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_specs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    some = [text for text in specs() if "block" in text]
    for _ in range(150):
        check(monkeypatch, changed(draw.choice(some), draw, gently=True))


# --- blocks at random ------------------------------------------------------------------------


class Blocks:
    """A random spec: blocks that call one another, and a model that calls them again and again. Most of them fit."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.blocks: list[str] = []
        self.has_shared = self.draw.random() < 0.1
        self.labels = 0
        self.top = False
        self.repeated = 0

    def text(self) -> str:
        draw = self.draw
        lines = [f"input {draw.choice([4, 8])}x{draw.choice(['16x16', '16x12', '33'])}", "param w = 8"]
        norm, act = draw.choice(["bn", "none"]), draw.choice(["relu", "silu", "none"])
        lines += [f"default conv(norm={norm}, act={act})"] * draw.randint(0, 1)
        lines += ["shared both = conv3-8 -> relu"] * self.has_shared
        for i in range(draw.randint(1, 4)):
            self.labels = 0
            lines.append(f"block b{i}(n, k=3, on=yes, q=1/2) = {self.chain(2)}")
            self.blocks.append(f"b{i}")
        self.top = True
        lines += [self.call() if draw.random() < 0.7 else self.chain(1) for _ in range(draw.randint(2, 6))]
        self.repeated = 1
        if draw.random() < 0.5:
            lines.append(f"[[{self.call()}]*{draw.randint(1, 3)} for i in 0..{draw.randint(0, 2)}]")
        return "\n".join(lines) + "\n"

    def chain(self, depth: int, kinds: tuple[str, ...] = ()) -> str:
        return " -> ".join(self.item(depth, kinds) for _ in range(self.draw.randint(1, 3)))

    def number(self) -> str:
        numbers = ["8", "8", "4", "w", "C"]
        return self.draw.choice(numbers if self.top else [*numbers, "n", "n", "2*n", "max(n, C)"])

    def call(self) -> str:
        draw = self.draw
        args = [self.number()]
        if draw.random() < 0.4:
            args.append(draw.choice(["k=1", "k=3", "on=no", "on=yes", "q=1/4", "q=0.3", "q=0.7"]))
        called = f"{draw.choice(self.blocks)}({', '.join(args)})"
        return f"{self.label()}{called}" if draw.random() < 0.4 else called

    def label(self) -> str:
        """A label where one can be."""
        if self.repeated:
            return ""
        self.labels += 1
        return f"{self.draw.choice(['a', 'a', 'p.a'])}{self.labels}: "

    def item(self, depth: int, kinds: tuple[str, ...]) -> str:
        kinds = kinds or (
            *("conv",) * 3, *("call",) * 4 * bool(self.blocks), *("plain",) * 2, *("shared",) * self.has_shared,
            *(("strided", "sum", "sides", "choice", "repeat", "shortcut", "bracket", "tap", "fitted") if depth else ()),
        )  # fmt: skip
        return str(getattr(self, f"_{self.draw.choice(kinds)}")(depth - 1))

    def _conv(self, depth: int) -> str:
        kernel = self.draw.choice(["1", "3"] if self.top else ["1", "3", "{k}"])
        return f"conv{kernel}-{{{self.number()}}}"

    def _strided(self, depth: int) -> str:
        return f"conv3-{{{self.number()}}}/{self.draw.choice(['2', '1'])}"

    def _call(self, depth: int) -> str:
        return self.call()

    def _plain(self, depth: int) -> str:
        return self.draw.choice(
            ["relu", "bn", "dropout(0.1)", "id", "maxpool3/1", "conv1-C(act=none)", "conv3(width=C)"]
        )

    def _shared(self, depth: int) -> str:
        return "conv1-8 -> both"

    def _sum(self, depth: int) -> str:
        width = self.number()
        arms = [f"{self.chain(depth, _EVEN)} -> conv1-{{{width}}}" for _ in range(2)]
        return f"[{' + '.join(arms)}]"

    def _sides(self, depth: int) -> str:
        return f"[{self.chain(depth, _EVEN)} | {self.chain(depth, _EVEN)}]"

    def _choice(self, depth: int) -> str:
        tests = [
            "C == 8",
            "C > 4",
            "w == 8",
            *([] if self.top else ["n == 8", "on", "n == C", "on and k == 3"]),
        ]
        other = f" else {self.chain(depth)}" if self.draw.random() < 0.6 else ""
        return f"[{self.chain(depth)} if {self.draw.choice(tests)}{other}]"

    def _repeat(self, depth: int) -> str:
        self.repeated += 1
        inner = self.chain(depth)
        self.repeated -= 1
        return (
            f"[{inner}]*{self.draw.choice('1230')}"
            if self.draw.random() < 0.5
            else f"[{inner} for i in 1..2]"
        )

    def _shortcut(self, depth: int) -> str:
        return f"[{self._strided(depth)} -> {self.chain(depth, _EVEN)} + shortcut{self.draw.choice(['', '(kind=pad)', '(kind=same)'])}]"

    def _bracket(self, depth: int) -> str:
        return f"{self.label()}[{self.chain(depth)}]"

    def _tap(self, depth: int) -> str:
        if self.repeated:
            return "id"
        name = self.label()
        used = self.draw.choice([f"[id | {name[:-2]}]", f"[id | {name[:-2]}]", "id"])
        return f"{name}id -> {self.chain(depth, _EVEN)} -> {used}"

    def _fitted(self, depth: int) -> str:
        return f"[conv3-{{{self.number()}}}/2 | maxpool2 -> {self.draw.choice(['crop', 'pad', 'resize'])}]"


_EVEN = ("conv", "conv", "plain")
"""What keeps a map's size."""


@pytest.mark.parametrize("seed", range(6))
def test_random_blocks(seed: int, monkeypatch: pytest.MonkeyPatch, counted: Counted) -> None:
    for i in range(120):
        check(monkeypatch, Blocks(1_000 * seed + i).text())
    assert counted.calls >= 100


# --- whether these tests would see a fault ---------------------------------------------------


def _shifted(drafts: int, scopes: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Sources whose numbers are not those of the copy."""
    right = copies._Body._sources

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(
            copies._Body, "_sources", lambda body, flow, x, y: right(body, flow, x * drafts, y * scopes)
        )  # fmt: skip

    return plant


def _of_other_arguments(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies, "form_of", lambda values: ())


def _without_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies._Body, "_label", lambda *_: None)


def _whatever_flows_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies, "is_open", lambda flow: False)


def _in_shared_modules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Copies, "paused", property(lambda self: 0, lambda self, n: None), raising=False)


def _whatever_uses_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Copies, "_texts", lambda self: set())


def _without_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Copies, "_fits", lambda self, call: True)


def _whatever_fractions_decide(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies._Body, "_takers", lambda *_: ())


def _with_the_fractions_of_the_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies._Body, "other", lambda *_: copies._SAME)


FAULTS = {
    "the tensors of the first": _shifted(0, 1),
    "the scopes of the first": _shifted(1, 0),
    "other arguments": _of_other_arguments,
    "no labels": _without_labels,
    "whatever flows in": _whatever_flows_in,
    "in shared modules": _in_shared_modules,
    "whatever uses weights again": _whatever_uses_again,
    "without limits": _without_limits,
    "whatever fractions decide": _whatever_fractions_decide,
    "with the fractions of the first": _with_the_fractions_of_the_first,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [(HEAD + text, MAX_LAYERS) for text in TEXTS.values()]
    texts += [(f"{HEAD}{STEPS}b -> b -> b\n", limit) for limit in range(1, 60)]
    FAULTS[fault](monkeypatch)
    for text, limit in texts:
        try:
            check(monkeypatch, text, limit=limit)
        except (AssertionError, LookupError, AttributeError):
            return
    raise AssertionError("nobody would have seen it")
