"""`solve` and `sweep`: the questions, asked of a file or a text, and what comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from cnnc.compiler.bounds import Bounds, Number, spelled
from cnnc.compiler.build import build
from cnnc.compiler.expect import plain
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import did_you_mean, fail
from cnnc.dsl.parse import parse as parse_source
from cnnc.dsl.record import record
from cnnc.dsl.source import Source
from cnnc.given import parse_size, parse_value, stem_of
from cnnc.solving.evaluate import Evaluator, Found, Wish, parse_figure, parse_where
from cnnc.solving.search import search
from cnnc.solving.space import Axis, Space, by_fraction, parse_range, space_of

FORMAT = 1
"""The version of the JSON records."""
ALWAYS = ("params", "macs")
"""The figures that every answer shows."""

Ranges = Mapping[str, str] | Sequence[str]
Progress = Callable[[int], None]


@record(kw_only=True)
class Solution:
    """The best point of a space, or that there is none.

    `params` are the values of the params that varied, None where no point fits; `figures` are what they give, by name;
    `wishes` the conditions with the value of each at that point. `binding` says what stands in the way where nothing fits.
    `space` is how many points the ranges have, `tried` how many were built.
    """

    model: str
    objective: str
    params: Mapping[str, Number] | None
    figures: Mapping[str, Number]
    wishes: Mapping[str, Number | None]
    binding: tuple[str, ...]
    space: int
    tried: int
    source: Source
    monotone: bool
    """Whether along every axis each figure was seen to go one way only, which is what points were left out by."""

    @property
    def found(self) -> bool:
        return self.params is not None

    def spec(self) -> str:
        """The spec with the new values of its params. Raises ValueError where there is no solution."""
        if self.params is None:
            raise ValueError("there is no solution to write")
        return with_params(self.source, self.params)

    def text(self) -> str:
        """What `cnnc solve` prints."""
        count = f"{self.tried:,} of {self.space:,} points built"
        if self.params is None:
            lines = [f"No {self.model} in this range meets all of it ({count}):"]
            return "\n".join([*lines, *(f"  {reason}" for reason in self.binding)])
        words = ", ".join(f"{name}={spelled(value)}" for name, value in self.params.items())
        lines = [f"{self.model}: {words} ({self.objective}; {count})"]
        width = max(map(len, [*self.figures, *self.wishes]))
        lines += [f"  {name:<{width}}  {plain(value):>16}" for name, value in self.figures.items()]
        lines += [
            f"  {text:<{width}}  {plain(value):>16}"
            for text, value in self.wishes.items()
            if value is not None
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The record of `cnnc solve --json`."""
        return {
            "format": FORMAT, "model": self.model, "objective": self.objective, "found": self.found,
            "params": None if self.params is None else {k: number(v) for k, v in self.params.items()},
            "figures": {name: number(value) for name, value in self.figures.items()},
            "where": {text: None if value is None else number(value) for text, value in self.wishes.items()},
            "binding": list(self.binding), "space": self.space, "tried": self.tried, "monotone": self.monotone,
        }  # fmt: skip


def number(value: Number) -> int | float:
    """An exact number as JSON has it."""
    return value if isinstance(value, int) else float(value)


def with_params(source: Source, params: Mapping[str, Number]) -> str:
    """A spec with other values for some of its params; the rest of the text stays as it is."""
    edits = []
    for statement in parse_source(source).statements:
        if isinstance(statement, s.Param) and statement.name in params:
            edits.append(
                (statement.value.span.start, statement.value.span.end, spelled(params[statement.name]))
            )
    text = source.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


# --- the questions ----------------------------------------------------------------------


@record
class Setting:
    """A spec, parsed once, with the ranges of its params and how it is built."""

    source: Source
    syntax: s.Spec
    model: str
    space: Space
    options: Mapping[str, object]


def setting_of(
    source: Source, stem: str, vary: Ranges, *, input: str | Mapping[str, str] | None = None,
    params: Mapping[str, object] | None = None, max_layers: int = 20_000,
) -> Setting:  # fmt: skip
    """Everything that is settled before the first point. Raises CnncError with what is wrong with the spec or a range.

    Without `vary` the params with a `within` vary that `params` gives no value; a range given replaces theirs.
    """
    syntax = parse_source(source)
    sizes: dict[str | None, tuple[int | str, ...]] = {}
    if isinstance(input, str):
        sizes[None] = parse_size(input)
    elif input is not None:
        sizes = {name: parse_size(text) for name, text in input.items()}
    given = {name: parse_value(name, value) for name, value in (params or {}).items()}
    options: dict[str, object] = {"stem": stem, "sizes": sizes, "params": given, "max_layers": max_layers}
    graph = build(syntax, **options)  # type: ignore[arg-type]
    defaults = {name: found.value for name, found in graph.params.items()}
    ranges = _ranges(vary, graph.bounds, defaults, given)
    numbers = {name: value for name, value in defaults.items() if isinstance(value, int | Fraction)}
    space = _buildable(syntax, space_of(ranges, numbers), ranges, options)
    return Setting(source=source, syntax=syntax, model=graph.name, space=space, options=options)


def _buildable(
    syntax: s.Spec,
    space: Space,
    ranges: Mapping[str, tuple[Bounds, int | None]],
    options: Mapping[str, object],
) -> Space:
    """The space with fractions of a power of two along each axis whose decimals give numbers of channels that are not whole.

    MobileNet's `conv1-{64*width}` is built for width = 3/4 and not for 0.26.
    """
    axes = []
    for axis in space.axes:
        bounds, count = ranges[axis.name]
        if count is None and not bounds.whole and not bounds.choices:
            others = {a.name: a.default for a in space.axes if a is not axis}
            asks = Evaluator(syntax, Space((axis,)), (), (), options=_with(options, others))
            middle = len(axis.values) // 2
            if any(_is_uneven(asks.at((i,))) for i in (1, middle, middle + 1) if i < len(axis.values)):
                axis = _of_fractions(syntax, axis, bounds, _with(options, others))
        axes.append(axis)
    return Space(tuple(axes))


def _of_fractions(syntax: s.Spec, axis: Axis, bounds: Bounds, options: Mapping[str, object]) -> Axis:
    for parts in (64, 32, 16, 8, 4, 2, 1):
        tried = replace(axis, values=by_fraction(bounds, parts))
        asks = Evaluator(syntax, Space((tried,)), (), (), options=options)
        places = {0, 1, len(tried.values) // 2, len(tried.values) - 1}
        if len(tried.values) > 1 and not any(
            _is_uneven(asks.at((i,))) for i in places if i < len(tried.values)
        ):
            return tried
    return axis


def _with(options: Mapping[str, object], params: Mapping[str, Number]) -> dict[str, object]:
    given = options["params"]
    assert isinstance(given, Mapping)
    return {**options, "params": {**given, **params}}


def _is_uneven(found: Found) -> bool:
    return found.problem is not None and found.problem.code == "E305"


def _ranges(
    vary: Ranges, declared: Mapping[str, Bounds], defaults: Mapping[str, object], given: Container[str]
) -> dict[str, tuple[Bounds, int | None]]:
    pairs = vary.items() if isinstance(vary, Mapping) else [_pair(text) for text in vary]
    found: dict[str, tuple[Bounds, int | None]] = {}
    for name, text in pairs:
        if name not in defaults:
            raise fail("E206", f"the spec has no param `{name}`", hint=did_you_mean(name, defaults))
        if name in given:
            raise fail("E304", f"`{name}` is given a value, and is to vary", hint="leave one of the two out")
        if isinstance(defaults[name], bool) or not isinstance(defaults[name], int | Fraction):
            raise fail("E303", f"the param `{name}` is not a number and cannot vary")
        if text:
            found[name] = parse_range(text, defaults[name])
        elif name in declared:
            found[name] = (declared[name], None)
        else:
            raise fail(
                "E303", f"`{name}` has no range", hint=f"{name}=0.25..2, or `within 0.25..2` in the spec"
            )
    if not found:
        found = {name: (bounds, None) for name, bounds in declared.items() if name not in given}
    if not found:
        hint = "--vary width=0.25..2, or in the spec `param width = 1.0 within 0.25..2`"
        raise fail("E303", "no param has a range to vary in", hint=hint)
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, span = text.partition("=")
    return name.strip(), span.strip()


def solved(
    setting: Setting, where: Sequence[str], *, most: str | None = None, least: str | None = None,
    progress: Progress = lambda count: None,
) -> Solution:  # fmt: skip
    """The point that meets every wish and has the most (or least) of a figure; most `params` unless said.

    Raises CnncError for a wish or a figure that says nothing.
    """
    if most is not None and least is not None:
        raise ValueError("a search is for the most of one figure, or the least of one")
    asked = least or most or "params"
    wishes = parse_where(where)
    names = [asked, *(name for name in ALWAYS if name != asked)]
    evaluator = Evaluator(
        setting.syntax, setting.space, [parse_figure(name) for name in names], wishes, options=setting.options,
        progress=progress,
    )  # fmt: skip
    outcome = search(evaluator, most=least is None)
    objective = f"{'most' if least is None else 'least'} {asked}"
    best = outcome.found
    return Solution(
        model=setting.model, objective=objective, source=setting.source, space=len(setting.space),
        tried=len(evaluator.known), monotone=all(sign for way in outcome.ways for sign in way),
        params=None if outcome.best is None else setting.space.params(outcome.best),
        figures={} if best is None else dict(zip(names, best.figures, strict=False)),
        wishes={w.text: None if best is None else best.figures[len(names) + i] for i, w in enumerate(wishes)},
        binding=() if best is not None else tuple(_binding(evaluator, wishes, len(names))),
    )  # fmt: skip


def _binding(evaluator: Evaluator, wishes: Sequence[Wish], first: int) -> list[str]:
    """What stands in the way, from the points that were built, the corners of the range among them."""
    built = [(point, found) for point, found in evaluator.known.items() if found.is_built]
    if not built:
        problem = next(found.problem for found in evaluator.known.values() if found.problem is not None)
        return [f"no point can be built: {problem.message}"]
    reasons = []
    for i, wish in enumerate(wishes):
        if not any(found.holds[i] for _, found in built):
            reverse = wish.op in (">", ">=")
            point, found = sorted(built, key=lambda item: item[1].figures[first + i], reverse=reverse)[0]
            word = "at most" if reverse else "at least"
            value = plain(found.figures[first + i])
            reasons.append(
                f"`{wish.text}` holds nowhere: it is {word} {value}, at {evaluator.space.words(point)}"
            )
    if reasons:
        return reasons
    point, found = max(built, key=lambda item: sum(item[1].holds))
    failing = [w.text for w, holds in zip(wishes, found.holds, strict=True) if not holds]
    texts = " and ".join(f"`{wish.text}`" for wish in wishes)
    return [
        f"{texts} each hold somewhere, and nowhere together",
        f"nearest: {evaluator.space.words(point)}, where {' and '.join(f'`{t}`' for t in failing)} fails",
    ]


def options_of(spec: str | os.PathLike[str], *, allow_outside: bool = False) -> tuple[Source, str]:
    """A spec's source and the name its model has where it gives none."""
    from cnnc.dsl.read import read_source
    from cnnc.given import resolve

    path = resolve(os.fspath(spec))
    return read_source(path, allow_outside=allow_outside), stem_of(path)


def solve(
    spec: str | os.PathLike[str], vary: Ranges = (), where: str | Sequence[str] = (), *, most: str | None = None,
    least: str | None = None, input: str | Mapping[str, str] | None = None, progress: Progress = lambda count: None,
    allow_outside: bool = False, **params: object,
) -> Solution:  # fmt: skip
    """Values for the params of a spec (a file, or `zoo:NAME`) that meet a budget.

    `vary` are ranges by param, `{"width": "0.25..2"}` or `["width=0.25..2"]`; without it the params that the spec gives a
    range by `within`, and `params` no value, vary. `where` are comparisons as `expect` has them, `"params <= 5M, rf(layer4) >= 400"`. Of
    what meets them all the point with the `most` of a figure, or the `least`, is returned: most params, unless
    said. Further keywords set params that do not vary. Raises CnncError.
    """
    source, stem = options_of(spec, allow_outside=allow_outside)
    setting = setting_of(source, stem, vary, input=input, params=params)
    texts = [where] if isinstance(where, str) else list(where)
    return solved(setting, [text for text in texts if text], most=most, least=least, progress=progress)
