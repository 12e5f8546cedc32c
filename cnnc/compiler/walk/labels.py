"""Labels: taken in their scope, found from where they can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnnc.compiler.ops import op_words
from cnnc.compiler.walk.draft import Draft, Scope, Spot
from cnnc.compiler.walk.evaluate import Poisoned, interpolate, named_value
from cnnc.compiler.walk.naming import MAX_NAME
from cnnc.compiler.walk.values import Env, Handed, Labelled, LabelScope, Made, Trace
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

WEIGHT = "weight"
"""`weight(label)`: the weight of a layer, as a tensor."""
SOURCES = ("tensor",)
"""The layers into which nothing flows; a test compares it with the ops."""

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk


class Labels:
    """Declares and finds labels for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.taps: list[tuple[str, Labelled, Trace | None]] = []
        """Labels that name a tensor and no module (`name: id`), and the way to each."""
        self._defined: list[Labelled] = []

    def read(self, item: s.Item, spot: Spot) -> str | None:
        """The text of an item's label, taken in its scope; None where there is none or it is refused."""
        if item.label is None:
            return None
        try:
            text = interpolate(item.label.parts, spot.env)
            self.walk.decide("name", text, item.label.span, spot)
            self.take(text.value, item.label.span, spot)
        except (CnncError, Poisoned) as error:
            self.walk.recover(error, spot.trace)
            return None
        return text.value

    def take(self, text: str, span: Span, spot: Spot) -> None:
        """Take a label in its scope. Raises E204 where it is taken already, E901 where it is too long."""
        if len(text) > MAX_NAME:
            raise fail("E901", f"a label of more than {MAX_NAME:,} characters", span)
        if not all(text.split(".")) or not text.isprintable():
            raise fail(
                "E101",
                f"`{text}` cannot be a label",
                span,
                hint="a label has characters that print, and some between its dots",
            )
        taken = spot.scope.labels.get(text)
        if taken is not None:
            same = taken.start == span.start and taken.source is span.source
            hint = (
                "the label is inside a repeat: number it, for instance "
                f"[{text}{{i}}: … for i in 1..3], or leave it out"
                if same
                else f"line {taken.line} has it already: give one of them another name"
            )
            raise fail("E204", f"the label `{text}` is taken", span, hint=hint)
        spot.scope.labels[text] = span

    def define(
        self, text: str, tensor: Draft, inner: LabelScope | None, item: s.Item, spot: Spot,
        scope: Scope | None = None,
    ) -> None:  # fmt: skip
        """Let a label name a tensor from here on; `scope` is the level of names that the item opened."""
        assert item.label is not None
        made = Made(item, spot.env, self.walk.began[-1], len(self.walk.drafts), scope)
        entry = Labelled(tensor, inner, item.label.span, made=made)
        self._defined.append(entry)
        spot.env.labels.entries[text] = entry
        # What a pipeline handed in labels is seen on the level it is placed on, too.
        home = self.walk.label_scopes.get(id(spot.scope))
        if home is not None:
            home.entries.setdefault(text, entry)
        if isinstance(item.core, s.Word) and item.core.literal == "id":
            self.taps.append((text, entry, spot.trace))

    def forget(self) -> None:
        """Cut what leads from labels back to where they are."""
        for entry in self._defined:
            entry.inner = entry.made = None

    def tensor(self, text: str, span: Span, env: Env) -> Draft:
        """The tensor that a label or path names. Raises E203 where there is none."""
        found = env.labels.reach(text)
        if found is None:
            raise self.unknown(text, span, env)
        found.used = True
        return found.tensor

    def unknown(self, text: str, span: Span, env: Env) -> CnncError:
        """The error for a label that cannot be seen: it may stand further down, or in a block."""
        hint = self.elsewhere(text) or self.inside(text, env) or did_you_mean(text, env.labels.visible())
        return fail("E203", f"no label `{text}` is visible here", span, hint=hint)

    def inside(self, text: str, env: Env) -> str | None:
        """A hint for `enc.y` where `enc` is a label: what that has inside."""
        outer, _, _ = text.rpartition(".")
        found = env.labels.reach(outer) if outer else None
        if found is None:
            return None
        names = [f"`{outer}.{name}`" for name in (found.inner.entries if found.inner is not None else ())]
        return (
            f"there is {', '.join(names[:6])}"
            if names
            else f"`{outer}` is one tensor: nothing in it has a label"
        )

    def elsewhere(self, text: str) -> str | None:
        """A hint where the spec has a label of this name, which cannot be seen yet or from outside."""
        for statement in self.walk.spec.statements:
            if not isinstance(statement, s.Flow | s.Block | s.Shared):
                continue
            body = statement.pipeline if isinstance(statement, s.Flow) else statement.body
            label = next((label for label in _labels_in(body) if label.parts == (text,)), None)
            if label is None:
                continue
            if text == "_":
                return "`_` opens a level without a name: give it one"
            if isinstance(statement, s.Flow):
                line = f"line {label.span.line}"
                return f"{line} has it, and a tensor is used below its line and inside its bracket: move {line} before this one"
            return f"`{statement.name}` has it inside: label the use of it, and write LABEL.{text}"
        return None

    def home(self, spot: Spot, label: str, span: Span) -> tuple[Scope, str]:
        """The scope and the local name of a label; a dotted one opens the scopes on its way."""
        scope = spot.scope
        if "." not in label:
            return scope, label
        *steps, local = label.split(".")
        for step in steps:
            inner = next(
                (c for c in scope.children if isinstance(c, Scope) and c.label == step and c.kind == "path"),
                None,
            )
            if inner is None:
                inner = self.walk.scope("path", step, scope, span, spot.trace, None)
                scope.children.append(inner)
            scope = inner
        return scope, local

    # --- tensors at the head of a chain ------------------------------------------------------

    def is_headed(self, item: s.Item, env: Env) -> bool:
        """Whether an item brings its own tensor: a tensor name, or a bracket all of whose branches do."""
        if isinstance(item.core, s.Word):
            is_tensor = self.tensor_name(item.core, env) is not None or self.is_source(item.core, env)
            return is_tensor or self._is_handed(item.core, env)
        body = item.core.body
        if isinstance(body, s.Choice) and body.otherwise is None:
            return False  # where its condition fails it passes on what flows in
        return all(self.is_headed(chain.items[0], env) for chain in _chains(item.core))

    def is_source(self, word: s.Word, env: Env) -> bool:
        """Whether a word is a layer into which nothing flows: `tensor(…)`."""
        name = word.keyword
        if name not in SOURCES and (name != WEIGHT or word.args is None):
            return False
        return word.literal is None or env.value(word.literal) is None

    def tensor_name(self, word: s.Word, env: Env) -> str | None:
        """The text of a word that names a tensor which can be seen; None for any other word."""
        if word.args is not None or word.index:
            return None
        try:
            text = word.literal if word.literal is not None else interpolate(word.parts, env).value
        except (CnncError, Poisoned):
            # A loop variable is not known yet: the letters before it decide.
            stem = word.parts[0] if isinstance(word.parts[0], str) else ""
            known = env.labels.visible()
            starts = bool(stem) and stem.lower() not in op_words() and any(n.startswith(stem) for n in known)
            return stem if starts else None
        if "." not in text:
            return text if env.labels.find(text) is not None else None
        steps = text.split(".")
        seen = any(env.labels.find(".".join(steps[:i])) is not None for i in range(len(steps), 0, -1))
        return text if seen else None

    def _is_handed(self, word: s.Word, env: Env) -> bool:
        """Whether a word is a parameter, or an element of one, for which a tensor was handed in."""
        try:
            found = named_value(word, env)
        except (CnncError, Poisoned):
            return False
        value = None if found is None else found.value
        return isinstance(value, Handed) and value.env.labels.sees(value)

    def joins_only(self, bracket: s.Bracket, env: Env) -> bool:
        """Whether a bracket does nothing but join tensors: then its label names the join itself."""
        if not isinstance(bracket.body, s.Sides):
            return False
        items = [p.items[0] for p in bracket.body.branches if len(p.items) == 1]
        return len(items) == len(bracket.body.branches) and all(
            i.label is None and i.count is None and isinstance(i.core, s.Word)
            and (i.core.literal == "id" or self.tensor_name(i.core, env) is not None)
            for i in items
        )  # fmt: skip


def is_anonymous(label: s.Label | None) -> bool:
    """Whether a label is `_`, which names nothing."""
    return label is not None and label.parts == ("_",) and not label.quoted


def _labels_in(pipeline: s.Pipeline) -> Iterator[s.Label]:
    for item in pipeline.items:
        if item.label is not None:
            yield item.label
        if isinstance(item.core, s.Bracket):
            for inner in _chains(item.core):
                yield from _labels_in(inner)


def _chains(bracket: s.Bracket) -> list[s.Pipeline]:
    """The chains that stand in a bracket."""
    body = bracket.body
    if isinstance(body, s.Pipeline):
        return [body]
    if isinstance(body, s.Sides):
        return list(body.branches)
    if isinstance(body, s.Choice):
        return [*(arm for arm, _ in body.arms), *([] if body.otherwise is None else [body.otherwise])]
    return [body.body]
