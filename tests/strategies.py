"""Hypothesis strategies for spec texts: directed by the grammar, buildable, and broken.

`spec_texts` draws text that parses but need not mean anything; `network_texts`
draws text that also builds into a graph; `broken_texts` damages either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hypothesis import strategies as st

# Marks in a draft text, settled by `_render`: where blanks may stand, must stand,
# where a line may end without meaning, and where it may end as `->`.
MAYBE, BLANK, FREE, STEP = "\x01", "\x02", "\x03", "\x04"

_MAYBE_TEXTS = ["", "", " ", "  ", "\t"]
_BLANK_TEXTS = [" ", " ", "  ", "\t "]
_COMMENTS = ["# note", "#", "#x -> [y", "# 3×3 (stride 1)", '# "quoted" `code`', "## two"]
_NEWLINES = ["\n", "\n    ", "\n\n", "\n \n\n  ", "\r\n"]
_LAYERS = [
    "conv3-64", "conv1x7-192/2", "conv3-64/2x1", "pool", "fc-4096", "FC-4096", "soft-max", "id", "shortcut",
    "maxpool3/2", "bn", "conv-11x11x96/4", "c3", "outer.inner", "layer1.0.conv1", "a_b", "w",
    "maps[0]", "maps[i][1..]", "CONV-9-32", "fc-1_000_000", "again", "weight",
    "linear-64", "lstm-8", "attend", "resize", "slice",
]  # fmt: skip
_NAMES = ["a", "n", "w", "k", "width", "C", "H", "c3", "outer.inner", "_x", "x", "exp"]
_PLAIN_NAMES = [n for n in _NAMES if "." not in n]
_NUMBERS = ["0", "1", "64", "0.5", "0.50", "1_000", "138M", "2.5K", "1e-3", "1.5E+3", "007"]
_LABELS = [
    "stem",
    "c3",
    "output",
    "input",
    "model",
    '"block1-0"',
    '"a b"',
    "c{i}",
    "p{i+1}_{j}",
    "outer.x",
    "_",
    "s{i}.a",
    "block{1}",
    "l.{i}.c2",
    '"b{i}-{j+1}"',
]
_KEYS = ["pad", "groups", "norm", "act", "dilation", "Bias", "to", "axis", "transpose", "standardise"]


@st.composite
def _render(draw: st.DrawFn, draft: str) -> str:
    """Settle the marks of a draft with drawn blanks, line breaks and comments."""
    choices = draw(st.lists(st.integers(0, 39), min_size=1, max_size=24))
    turn = 0

    def settle(mark: re.Match[str]) -> str:
        nonlocal turn
        choice = choices[turn % len(choices)]
        turn += 1
        match mark[0]:
            case "\x01":
                return _MAYBE_TEXTS[choice % len(_MAYBE_TEXTS)]
            case "\x02":
                return _BLANK_TEXTS[choice % len(_BLANK_TEXTS)]
        comment = _COMMENTS[choice % len(_COMMENTS)]
        newline = _NEWLINES[choice % len(_NEWLINES)]
        broken = ["", "", newline, f" {comment}{newline}", f"\n{comment}\n  {comment}{newline}"][choice % 5]
        if mark[0] == FREE:
            return broken or _MAYBE_TEXTS[choice % 3]
        return broken if "\n" in broken and choice % 2 else f"{broken or ' '}->{_MAYBE_TEXTS[choice % 4]}"

    return re.sub("[\x01-\x04]", settle, draft)


# --- arithmetic ---------------------------------------------------------------------


def _operations(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions one level above `inner`, as drafts; `inner` may stand bare or in parentheses."""
    bracketed = st.one_of(inner.map(lambda e: f"({MAYBE}{e}{MAYBE})"), st.sampled_from(_NAMES + _NUMBERS))
    operator = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    pair = st.tuples(bracketed, operator, bracketed)
    run = st.tuples(pair, operator, bracketed)
    return st.one_of(
        pair.map(lambda t: f"{t[0]}{MAYBE}{t[1]}{MAYBE}{t[2]}"),
        run.map(lambda t: f"{t[0][0]}{MAYBE}{t[0][1]}{t[0][2]}{MAYBE}{t[1]}{MAYBE}{t[2]}"),
        st.tuples(bracketed, st.sampled_from(["", "-", "+"]), bracketed).map(
            lambda t: f"{t[0]}**{t[1]}{t[2]}"
        ),
        st.tuples(st.sampled_from(["-", "+", "- -", "-+"]), bracketed).map("".join),
        st.tuples(bracketed, st.sampled_from(["==", "!=", "<=", ">=", "<", ">", "~="]), bracketed).map(
            lambda t: f"{t[0]}{MAYBE}{t[1]}{MAYBE}{t[2]}{MAYBE}<{MAYBE}{t[0]}"
        ),
        st.tuples(bracketed, st.sampled_from(["and", "or"]), bracketed).map(
            lambda t: f"{t[0]}{BLANK}{t[1]}{BLANK}{t[2]} {t[1]} {t[0]}"
        ),
        bracketed.map(lambda e: f"not{BLANK}{e}"),
        st.tuples(
            bracketed,
            st.sampled_from(["in", "not  in"]),
            st.sampled_from(["ws", "1..4", "(a)..n+1", "(1, 2)"]),
        ).map(lambda t: f"{t[0]} {t[1]}{BLANK}{t[2]}"),
        st.tuples(st.sampled_from(["ws", "(1, 2)", "f(a)", "ws[0]", '"a"']), inner).map(
            lambda t: f"{t[0]}[{MAYBE}{t[1]}{MAYBE}]"
        ),
        st.tuples(bracketed, bracketed).map(lambda t: f"ws[{t[0]}{MAYBE}..{t[1]}]"),
        st.tuples(bracketed, bracketed, bracketed).map(lambda t: f"{t[0]} if{BLANK}{t[1]}{BLANK}else {t[2]}"),
        st.tuples(inner, inner).map(lambda t: f"({FREE}{t[0]},{FREE}{t[1]}{FREE})"),
        inner.map(lambda e: f"({e},)"),
        inner.map(lambda e: f"({e},{FREE}[conv3-64 -> [a | b]*2],)"),
        st.tuples(inner, inner).map(lambda t: f"max{MAYBE}({FREE}{t[0]}{MAYBE},{FREE}{t[1]},{FREE})"),
        inner.map(lambda e: f"gn(groups{MAYBE}={MAYBE}{e})"),
    )


_ATOMS = st.sampled_from([
    *_NAMES, *_NUMBERS, "3x224", "3x3", "c{i}", "p{i}{j}_x", '"a b"', "ws[1..]", "ws[..n]", "s{i}.a", "layer1.{i}.conv1",
    "()", "a.b{i+1}.0.c", '"block{ i }-{j+1}"', '"{max(a,2)}"', "_",
])  # fmt: skip
_EXPRESSION_TREES = st.recursive(_ATOMS, _operations, max_leaves=6)


@st.composite
def _expressions(draw: st.DrawFn) -> str:
    """A name for the strategy: Hypothesis would else print megabytes where a test fails."""
    return draw(_EXPRESSION_TREES)


_EXPRESSIONS = _expressions()
_INLINE_EXPRESSIONS = _EXPRESSIONS.map(lambda e: e.replace(FREE, MAYBE))
"""Without line breaks, for the places outside brackets of any kind."""


# --- pipelines ----------------------------------------------------------------------


def _arguments(pipelines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    value = st.one_of(
        _EXPRESSIONS,
        pipelines.map(lambda p: f"[{FREE}{p}{FREE}]"),
        st.sampled_from(["0..31", "1..", "..-2", "-3..-1", "n-1..2*n"]),
    )
    argument = st.one_of(value, st.tuples(st.sampled_from(_KEYS), value).map(lambda t: f"{t[0]}={t[1]}"))
    return st.lists(argument, max_size=3).map(lambda args: f"({FREE}" + f",{FREE}".join(args) + f"{FREE})")


def _words(pipelines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    hole = _EXPRESSIONS.map(lambda e: f"{{{MAYBE}{e}{FREE}}}")
    with_hole = st.tuples(
        st.sampled_from(["conv", "conv{k}-", "c"]), hole, st.sampled_from(["", "-64", "/2", "x3"])
    )
    bare = st.one_of(st.sampled_from(_LAYERS), with_hole.map("".join))
    called = st.tuples(bare, _arguments(pipelines)).map("".join)
    return st.one_of(bare, bare, called, st.just('"quoted word"'))


def _brackets(pipelines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    side = st.sampled_from("|+&@")
    target = st.sampled_from(["k", "n, w"])
    condition = st.one_of(_ATOMS, _operations(_ATOMS).map(lambda e: f"({e})"))
    values = st.lists(
        st.one_of(_EXPRESSIONS, st.sampled_from(["1..6", "0..n-1", "(a)..2*b"])), min_size=1, max_size=3
    )
    loop = st.tuples(pipelines, target, values).map(
        lambda t: f"{t[0]}{FREE} for {t[1]} in{BLANK}" + f"{MAYBE},{FREE}".join(t[2])
    )
    body = st.one_of(
        pipelines,
        st.tuples(side, st.lists(pipelines, min_size=2, max_size=3)).map(
            lambda t: f"{FREE}{t[0]}{FREE}".join(t[1])
        ),
        loop,
        st.tuples(side, loop).map(lambda t: f"{t[0]}{FREE}{t[1]}"),
        st.tuples(pipelines, condition, pipelines).map(
            lambda t: f"{t[0]}{FREE} if {t[1]}{BLANK}else {FREE}{t[2]}"
        ),
        st.tuples(pipelines, condition).map(lambda t: f"{t[0]}{FREE} if {t[1]}"),
        st.tuples(pipelines, condition, pipelines, condition).map(
            lambda t: f"{t[0]}{FREE} if {t[1]}{BLANK}else {FREE}{t[2]} if {t[3]}"
        ),
    )
    args = st.one_of(
        st.just(""), st.just(""), st.sampled_from(["(axis=W)", f"({FREE}a,{FREE}b{FREE})", "()"])
    )
    count = st.one_of(
        st.just(""), st.sampled_from(["*2", "*n", "* 0", "*{3}"]), _EXPRESSIONS.map(lambda e: f"*{{{e}}}")
    )
    return st.tuples(body, args, count).map(lambda t: f"[{FREE}{t[0]}{FREE}]{t[1]}{t[2]}")


def _longer(pipelines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    core = st.one_of(_words(pipelines), _brackets(pipelines))
    label = st.sampled_from(["", "", *(f"{name}:{BLANK}" for name in _LABELS)])
    item = st.tuples(label, core).map("".join)
    return st.lists(item, min_size=1, max_size=3).map(STEP.join)


_PIPELINE_TREES = st.recursive(st.sampled_from(_LAYERS), _longer, max_leaves=5)


@st.composite
def _pipelines(draw: st.DrawFn) -> str:
    return draw(_PIPELINE_TREES)


_PIPELINES = _pipelines()


@st.composite
def _top_pipeline(draw: st.DrawFn) -> str:
    """A chain outside brackets, where only an arrow joins layers; line breaks stay in its brackets."""
    text, depth, out = draw(_PIPELINES), 0, []
    for char in text:
        depth += (char in "[({") - (char in "])}")
        out.append(f"{MAYBE}->{MAYBE}" if char == STEP and not depth else char)
    return "".join(out)


# --- statements ---------------------------------------------------------------------


def _parameters(pipelines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    value = st.one_of(_EXPRESSIONS, pipelines.map(lambda p: f"[{p}]"))
    default = st.one_of(st.just(""), value.map(lambda v: f"{MAYBE}={MAYBE}{v}"))
    parameter = st.one_of(st.tuples(st.sampled_from(_PLAIN_NAMES), default).map("".join), st.just("*stages"))
    listed = st.lists(parameter, max_size=3).map(
        lambda ps: f"{MAYBE}({FREE}" + f",{FREE}".join(ps) + f"{FREE})"
    )
    return st.one_of(st.just(""), listed)


_NAME = st.sampled_from(["foo", "tower", "bottle_neck", "f2"])
_STATEMENTS = st.one_of(
    _top_pipeline(),
    _top_pipeline(),
    st.tuples(_NAME, st.sampled_from(["", " = f2(1, 2)", f"{MAYBE}={MAYBE}[f2]*2"])).map(lambda t: f"model{BLANK}{t[0]}{t[1]}"),
    st.sampled_from([
        f"input{BLANK}3x224x224", "input 784", "input CxHxW", "input 3xHxheight", "input 224x224x3 hwc",
        f"input left{MAYBE}:{MAYBE}{{c}}x{{n+1}}x7", "input 3x{H//2}xW",
    ]),
    st.tuples(_NAME, _INLINE_EXPRESSIONS, st.sampled_from(["", f"{BLANK}within 0.25..2", " within (1, 2)", " within 1.."])).map(
        lambda t: f"param {t[0]}{MAYBE}={MAYBE}{t[1]}{t[2]}"
    ),
    _arguments(_PIPELINES).map(lambda a: f"default conv{MAYBE}{a}"),
    st.tuples(_NAME, _parameters(_PIPELINES), st.sampled_from([" ", "\n  ", " # why\n  "]), _top_pipeline()).map(
        lambda t: f"block {t[0]}{t[1]}{MAYBE}={t[2]}[{t[3]}]" if "\n" in t[2] else f"block {t[0]}{t[1]} = {t[3]}"
    ),
    st.tuples(_NAME, _top_pipeline()).map(lambda t: f"shared {t[0]}{MAYBE}={MAYBE}{t[1]}"),
    st.tuples(_NAME, _parameters(_PIPELINES), _arguments(_PIPELINES)).map(
        lambda t: f'extern {t[0]}{t[1]} ={MAYBE}"mypkg.att:CBAM"{MAYBE}{t[2]}'
    ),
    st.sampled_from([
        "use a from std", f"use a,{BLANK}b as{BLANK}c from{MAYBE}\"my file.cnn\"", "use b as b from std",
        f'use a from "parts.cnn"{MAYBE}(width=0.5,{FREE}n = 2)',
    ]),
    st.sampled_from(["output a", f"output a{MAYBE},{MAYBE}b.c, c{{i}}, \"x y\""]),
    st.tuples(_INLINE_EXPRESSIONS, st.sampled_from(["", "", f"{BLANK}with width=0.5", " with  a=b,b =(1, 2)"])).map(
        lambda t: f"expect{BLANK}{t[0]}{t[1]}"
    ),
    st.sampled_from(["4 GiB", "4GiB", "1.5MB", "200  KB"]).map(lambda e: f"expect memory(train, batch=32) <= {e}"),
)  # fmt: skip


@st.composite
def spec_texts(draw: st.DrawFn) -> str:
    """Texts that parse: every statement, nesting, comments, odd line breaks and blanks."""
    statements = draw(st.lists(_STATEMENTS, min_size=1, max_size=4))
    endings = st.sampled_from(["\n", "\n\n\n", "  # trailing\n", "\n# own\n", "\r\n", "\n\n# a\n\n\n# b\n"])
    out = draw(st.sampled_from(["", "", "\n\n", "# head\n", "  # head\n\n"]))
    for statement in statements:
        out += draw(_render(statement)) + draw(endings)
    return out


# --- networks -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Map:
    """What flows: channels and side length of a square map, and the labels of that side length."""

    channels: int
    side: int
    labels: tuple[str, ...] = ()


_WIDTHS = st.sampled_from([2, 4, 6, 8])


@st.composite
def _branch(draw: st.DrawFn, channels: int | None = None) -> tuple[str, int]:
    """A chain that keeps the side length, and the channels it gives (`channels` if that is wanted)."""
    width = channels or draw(_WIDTHS)
    kernel = draw(st.sampled_from([1, 3, 5]))
    before = draw(
        st.sampled_from(["", "bn -> ", "conv1-4 -> ", "[conv3-4]*2 -> ", "[conv1-2 | conv3-2] -> "])
    )
    after = draw(st.sampled_from(["", " -> bn", " -> relu", "(norm=bn)", "(act=sigmoid, bias=yes)"]))
    return f"{before}conv{kernel}-{width}{after}", width


@st.composite
def _step(draw: st.DrawFn, flow: _Map, serial: int) -> tuple[str, _Map]:
    """One line of a network on a map, and the map after it."""
    text, width = draw(_branch())
    kinds = ["chain", "stack", "residual", "inception", "gate", "dense", "projected", "block", "loop", "arms"]
    kinds += ["listed", "element", "maybe", "flag", "same", "level", "handed", "rest"]
    kinds += ["again", "tied", "resized", "sliced", "linear", "own", "values", "attend"]
    kinds += ["joined"] * bool(flow.labels)
    kinds += ["choice", "higher"] + ["pool"] * (flow.side > 4) + ["skip", "sum"] * bool(flow.labels)
    keep = replace(flow, channels=width)
    match draw(st.sampled_from(kinds)):
        case "chain":
            out = text, keep
        case "stack":
            out = f"[{text}]*{draw(st.integers(1, 3))}", keep
        case "residual":
            same, _ = draw(_branch(flow.channels))
            out = f"[id + {same}]", flow
        case "inception":
            other, more = draw(_branch())
            out = (
                f"[{text} | {other} | maxpool3/1(pad=1)]",
                replace(flow, channels=width + more + flow.channels),
            )
        case "gate":
            out = "[id & gap -> conv1-{max(1, C//2)} -> conv1-C(act=sigmoid)]", flow
        case "dense":
            turns = draw(st.integers(0, 3))
            out = f"[id | {text}]*{turns}", replace(flow, channels=flow.channels + turns * width)
        case "projected":
            out = f"[{text} + shortcut] -> relu", keep
        case "block":
            out = f"unit({width}, k={draw(st.sampled_from([1, 3]))})", keep
        case "higher":
            out = f"around({width}, [{text}])", keep
        case "loop":
            widths = draw(st.lists(_WIDTHS, min_size=1, max_size=3))
            values = ", ".join(f"({k}, {w})" for k, w in zip([1, 3, 5], widths, strict=False))
            out = f"[conv{{k}}-w for k, w in {values}]", replace(flow, channels=widths[-1])
        case "arms":
            out = "[| conv{k}-2 for k in 1, 3, 5]", replace(flow, channels=6)
        case "choice":
            out = f"[id if C == {width} else conv1-{width}]", keep
        case "listed":
            start = draw(st.integers(0, 2))
            out = f"[conv3-w for w in ws[{start}..]]", replace(flow, channels=6)
        case "element":
            i = draw(st.integers(0, 2))
            out = f"conv3-{{ws[{i}]}}", replace(flow, channels=(2, 4, 6)[i])
        case "maybe":
            most = draw(st.integers(1, 12))
            out = f"[{text} if C in 1..{most}]", keep if flow.channels <= most else flow
        case "flag":
            same, _ = draw(_branch(flow.channels))
            condition = draw(st.sampled_from(["on", "not on", "off", "4 in ws and on"]))
            out = f"[id + [{same} if {condition} else none]]", flow
        case "same":
            out = f"[{text} + shortcut(kind=same)]", keep
        case "level":
            out = f"_: [{text}]", keep
        case "handed":
            out = f"twice({width}, {draw(st.sampled_from(['unit', 'cba']))})", keep
        case "rest":
            widths = draw(st.lists(_WIDTHS, min_size=1, max_size=3))
            out = f"wide({', '.join(map(str, widths))})", replace(flow, channels=sum(widths))
        case "joined":
            out = f"joined({draw(st.sampled_from(flow.labels))})", replace(flow, channels=6)
        case "again":
            change = draw(st.sampled_from(["", ", dilation=2", ", norm=bn", ", act=none"]))
            out = f"a{serial}: conv3-{flow.channels} -> again(a{serial}{change})", flow
        case "tied":
            out = f"a{serial}: conv3-{width} -> again(a{serial}, transpose=yes)", flow
        case "resized":
            out = (
                "[id | resize(0.5, mode=bilinear) -> conv1-2 -> resize]",
                replace(flow, channels=flow.channels + 2),
            )
        case "sliced":
            out = "[slice(..0) | id]", replace(flow, channels=flow.channels + 1)
        case "linear":
            out = f"linear-{width}(act=gelu)", keep
        case "own":
            out = f"[id & own{serial}: tensor(C, 1, 1, init=1)]", flow
        case "values":
            out = "[id + abs -> times(0.5) -> clamp(0, 1)]", flow
        case "attend":
            out = f"[id + attend(q=[linear-{width}], k=[linear-{width}])]", flow
        case "pool":
            out = "pool", _Map(flow.channels, flow.side // 2)
        case "skip":
            label = draw(st.sampled_from(flow.labels))
            out = f"[{text} | {label} -> conv1-4]", replace(flow, channels=width + 4)
        case "sum":
            label = draw(st.sampled_from(flow.labels))
            out = f"[{text} + {label} -> conv1-{width}]", keep
    line, after = out
    if (
        draw(st.booleans())
        and not line.startswith("_:")
        and " -> relu" not in line
        and "->" not in _outside(line)
    ):
        label = f"t{serial}"
        return f"{label}: {line}", replace(after, labels=(*after.labels, label))
    return line, after


def _outside(line: str) -> str:
    """What of a line stands outside its brackets."""
    out, depth = "", 0
    for char in line:
        depth += (char in "[(") - (char in ")]")
        out += char if not depth else ""
    return out


@st.composite
def network_texts(draw: st.DrawFn) -> str:
    """Texts that build into a small graph: chains, repeats, branches, blocks, long skips, loops."""
    channels, side = draw(st.sampled_from([(1, 8), (3, 16), (4, 12)]))
    lines = [f"input {channels}x{side}x{side}"]
    lines += draw(st.sampled_from([[], ["default conv(norm=bn)"], ["default conv(act=none)"]]))
    lines += ["block unit(w, k=3) = conv{k}-w -> bn -> relu6"]
    lines += ["param ws = (2, 4, 6)", "param on = yes", "param off = no", "block cba(w) = conv3-w(norm=bn)"]
    lines += ["block twice(w, unit) = [unit(w)]*2", "block wide(*widths) = [| conv1-w for w in widths]"]
    lines += ["block joined(skip) = [conv1-4 | skip -> conv1-2]"]
    lines += ["block around(w, inner) = [conv1-w -> inner -> conv1-w + shortcut]"]
    flow = _Map(channels, side)
    for serial in range(draw(st.integers(1, 5))):
        line, flow = draw(_step(flow, serial))
        lines.append(line)
    lines += draw(st.sampled_from([[], ["gap -> fc-10"], ["[fc-8 -> dropout]*2 -> fc-3 -> softmax"]]))
    return "\n".join(lines) + "\n"


# --- damage -------------------------------------------------------------------------

_TOKEN = re.compile(r"->|\w+|\s+|.", re.DOTALL)
_NOISE = st.sampled_from([*'[](){}|+&->*,:="#\n.x/0~@é→×\t\x00\u2028', "->", "->->", " if ", "1..", "model "])


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """Texts with one to three tokens or characters deleted, doubled, swapped or put in."""
    text = draw(st.one_of(spec_texts(), network_texts()))
    for _ in range(draw(st.integers(1, 3))):
        parts = list(text) if draw(st.booleans()) else _TOKEN.findall(text)
        if not parts:
            return text
        i = draw(st.integers(0, len(parts) - 1))
        j = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(["delete", "double", "swap", "insert"])):
            case "delete":
                del parts[i]
            case "double":
                parts.insert(i, parts[i])
            case "swap":
                parts[i], parts[j] = parts[j], parts[i]
            case "insert":
                parts.insert(i, draw(_NOISE))
        text = "".join(parts)
    return text
