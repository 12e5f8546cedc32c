"""Text to syntax tree. Checks the form of the text only; every question of meaning comes later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnnc.dsl import syntax as s
from cnnc.dsl.builder import parser
from cnnc.dsl.diagnostics import MAX_ERRORS, CnncError, Diagnostic, at_most
from cnnc.dsl.lalr import Tok
from cnnc.dsl.recover import read_statement
from cnnc.dsl.source import Source, Span
from cnnc.dsl.tokens import lay_out


def parse(source: Source) -> s.Spec:
    """The syntax tree of a spec.

    Raises CnncError with every mistake of form that was found, in the order of the text.
    """
    rules = parser()
    layout = lay_out(source)
    problems = list(layout.problems)
    statements: list[s.Statement] = []
    previous: s.Statement | None = None
    for tokens in layout.statements:
        try:
            _refuse_loose_body(previous, tokens)
            previous = read_statement(rules, tokens, layout.strays)
            if previous is not None:
                statements.append(previous)
        except CnncError as error:
            problems += error.diagnostics
            previous = None
        if len(problems) > MAX_ERRORS:
            break
    if not statements and not problems:
        where = Span(source, 0, min(1, len(source.text)))
        hint = "a spec is a chain of layers, for instance: conv3-64 -> pool -> fc-10"
        problems.append(Diagnostic("E107", "the spec is empty", where, hint=hint))
    if problems:
        raise CnncError(at_most(_by_habit(problems, source)))
    return s.Spec(tuple(statements), source, layout.comments)


def _by_habit(problems: list[Diagnostic], source: Source) -> list[Diagnostic]:
    """The problems, with one in place of those that a form of another language caused."""
    from cnnc.dsl import foreign_lines

    lines: dict[int, list[Diagnostic]] = {}
    kept = [problem for problem in problems if problem.span is None]
    for problem in problems:
        if problem.span is not None:
            lines.setdefault(problem.span.line, []).append(problem)
    sequence = foreign_lines.sequence(source.text)
    if sequence is not None:
        first = source.text.count("\n", 0, sequence.start) + 1
        last = source.text.count("\n", 0, sequence.end) + 1
        within = [lines.pop(line)[0] for line in list(lines) if first <= line <= last]
        if within:
            where = Span(source, sequence.start, source.text.index("(", sequence.start))
            kept.append(replace(within[0], message=sequence.message, span=where, hint=sequence.hint))
    for line, found in lines.items():
        form = foreign_lines.form(source.line(line))
        if form is None:
            kept += found
            continue
        assert found[0].span is not None
        start = source.text.rfind("\n", 0, found[0].span.start) + 1
        where = Span(source, start + form.start, start + form.end)
        caused = [p for p in found if p.span and p.span.start < where.end and where.start < p.span.end]
        caused = caused or found[:1]
        one = replace(caused[0], message=form.message, span=where, hint=form.hint)
        if form.ends_the_file:
            return [one]
        kept += [one, *(p for p in found if p not in caused)]
    return kept


def _refuse_loose_body(previous: s.Statement | None, tokens: Sequence[Tok]) -> None:
    if isinstance(previous, s.Block | s.Shared) and tokens[0].span.column > previous.span.column:
        word = "block" if isinstance(previous, s.Block) else "shared"
        raise CnncError([
            Diagnostic(
                "E108",
                f"this line is outside `{word} {previous.name}`, whose body ended with its line",
                tokens[0].span.to(tokens[-1].span),
                hint=f"put the whole body in brackets: {word} {previous.name}… = [ … ]",
            )
        ])  # fmt: skip
