"""Names, and so state_dict keys: from labels and counters, never from positions in the file (docs/language.md, Module names)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TypeGuard

from cnnc.compiler.walk.draft import Draft, Scope
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.source import Span

MAX_NAME = 1_000
"""Characters of a label, and of a layer's whole name with the scopes it is in."""


def assign_names(root: Scope, inputs: Mapping[str, Draft]) -> None:
    """Give every scope and draft below `root` its dotted name; the inputs' names are taken.

    Raises CnncError: E204 where a label is also a name that a counter gives, E901 for a name that is too long.
    """
    problems: list[Diagnostic] = []
    scopes = list(root.scopes())
    taken: dict[str, Draft | Scope] = {**inputs, **_shared_modules(scopes)}
    for scope in _own(root) if any(scope.kind == "again" for scope in scopes) else scopes:
        _name_children(scope, problems, taken if scope is root else {})
    _name_reuses(scopes, problems)
    problems += _counted_taps(scopes)
    if problems:
        raise CnncError(problems)


def is_numbered(scope: Scope) -> bool:
    """Whether unlabelled children are numbered from 0, as `nn.Sequential` does; not those of a used network."""
    return scope.kind != "model" and not scope.has_sides and not scope.is_spare


def _shared_modules(scopes: Iterable[Scope]) -> dict[str, Scope]:
    """The shared modules that are used, by their names."""
    return {s.label: s for s in scopes if s.kind == "shared" and s.label is not None}


def _name_children(scope: Scope, problems: list[Diagnostic], given: Mapping[str, Draft | Scope]) -> None:
    numbered = is_numbered(scope)
    counters: dict[str, int] = {}
    taken: dict[str, Draft | Scope] = dict(given)
    for child in scope.children:
        if isinstance(child, Draft) and child.dropped:
            continue
        if is_identity(child) and child.label is None:
            continue
        if _is_reuse(child):
            continue
        if isinstance(child, Scope) and child.kind == "shared":
            # A child of the model under its own name, wherever it is used; a further use is none at all,
            # but its nodes need names.
            child.name = child.label or ""
            continue
        if child.label is not None:
            local = child.label
        elif isinstance(child, Draft) and child.role == "flatten":
            number = counters["flatten "] = counters.get("flatten ", 0) + 1
            local = "flatten" if number == 1 else f"flatten_{number}"
        else:
            kind = "" if numbered else _kind(child)
            counters[kind] = counters.get(kind, -1 if numbered else 0) + 1
            local = counted(kind, counters[kind])
        if local in taken:
            labelled = child if child.label is not None else taken[local]
            problems.append(_clash(local, scope.labels.get(local, labelled.span)))
        taken[local] = child
        child.name = f"{scope.name}.{local}" if scope.name else local
        if len(child.name) > MAX_NAME:
            message = f"a layer's name with the labels around it has more than {MAX_NAME:,} characters"
            raise fail(
                "E901", message, child.span, hint="give shorter labels, or fewer of them in each other"
            )
    identities = [child for child in scope.children if child.label is None and is_identity(child)]
    if identities:
        _name_identities(scope, identities, {*taken, *scope.labels})


def _is_reuse(child: Draft | Scope) -> bool:
    """Whether a child uses a module again that has its name elsewhere."""
    return child.reused is not None if isinstance(child, Draft) else child.kind == "again"


def _own(root: Scope) -> Iterator[Scope]:
    """A scope and those within it, but for what `again` places."""
    todo = [root]
    while todo:
        scope = todo.pop()
        yield scope
        inner = (c for c in reversed(scope.children) if isinstance(c, Scope) and c.kind != "again")
        todo.extend(inner)


def _name_reuses(scopes: Sequence[Scope], problems: list[Diagnostic]) -> None:
    """What uses a module again is called after that, `c@2`, in the order of the text; a weight `c@weight`."""
    further = sorted((c for c in scopes if c.kind == "again"), key=lambda scope: scope.number)
    drafts = [c for scope in scopes for c in scope.children if isinstance(c, Draft) and c.reused]
    counts: dict[tuple[str, str], int] = {}

    def after(name: str, kind: str = "") -> str:
        number = counts[name, kind] = counts.get((name, kind), 1 - bool(kind)) + 1
        return f"{name}@{kind}{number if number > 1 else ''}"

    for draft in sorted(drafts, key=lambda draft: draft.number):
        assert draft.op is not None
        if not draft.dropped:
            draft.name = after(draft.owner.name, "weight" if draft.op.kind == "weight" else "")
    for scope in further:
        assert scope.again is not None
        scope.name = after(scope.again.name)
        for inner in _own(scope):
            _name_children(inner, problems, {})


def counted(kind: str, number: int) -> str:
    """The name that a counter gives: `conv2`, `relu6_1`, so that no two counters come to one name.

    >>> counted("conv", 61), counted("relu6", 1), counted("", 0)
    ('conv61', 'relu6_1', '0')
    """
    return f"{kind}_{number}" if kind.endswith(_ENDS) else f"{kind}{number}"


_ENDS = (*"0123456789", "_")
"""A kind that ends in one of these has `_` before its number."""


def _clash(label: str, span: Span) -> Diagnostic:
    hint = "rename the label: an unlabelled layer counts to this name"
    return Diagnostic("E204", f"the label `{label}` is also a name that a counter gives", span, hint=hint)


def _counted_taps(scopes: Sequence[Scope]) -> Iterator[Diagnostic]:
    """E204 for every label that names no child and has the name of a child that a counter named."""
    labelled = [scope for scope in scopes if scope.labels]
    if not labelled:
        return
    counted = {child.name for scope in scopes for child in scope.children if child.label is None}
    for scope in labelled:
        names = {child.label for child in scope.children}
        prefix = f"{scope.name}." if scope.name else ""
        for label, span in scope.labels.items():
            if label not in names and f"{prefix}{label}" in counted:
                yield _clash(label, span)


def _name_identities(scope: Scope, identities: Sequence[Scope], taken: set[str]) -> None:
    """An identity shortcut takes no number; it gets a name that is left, for those who write structure."""
    for child in identities:
        local = next(name for i in count(1) if (name := counted(child.kind_name, i)) not in taken)
        taken.add(local)
        child.name = f"{scope.name}.{local}" if scope.name else local


def _kind(child: Draft | Scope) -> str:
    if isinstance(child, Scope):
        return child.kind_name
    assert child.op is not None
    return child.op.kind


def is_identity(child: Draft | Scope) -> TypeGuard[Scope]:
    """Whether a child is a shortcut that passes its input on as it is."""
    return isinstance(child, Scope) and child.kind == "shortcut" and not child.children
