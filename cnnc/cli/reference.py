"""`cnnc ops`: the layers of the language."""

from __future__ import annotations

import re
from itertools import chain
from textwrap import wrap

import click

from cnnc.cli.common import columns, guarded


@click.command()
@click.argument("name", required=False)
@guarded
def ops(name: str | None) -> None:
    """List the layers and the blocks that ship, or tell all about the layer or block NAME.

    Example: cnnc ops conv
    """
    click.echo(_one(name) if name else _list())


def _list() -> str:
    """Every layer in a line, by family."""
    from cnnc.reference import WORDS, blocks, layers

    width = max(len(name) for name in (*(r.kind for r in layers()), *(b.name for b in blocks())))
    lines: list[str] = []
    family = None

    def row(name: str, text: str) -> list[str]:
        start = f"  {name:{width}}  "
        across = columns() or 1_000
        return wrap(_first_sentence(text), across, initial_indent=start, subsequent_indent=" " * len(start))

    for record in layers():
        if record.family != family:
            family = record.family
            lines += [*([""] if lines else []), family]
        lines += row(record.kind, record.summary)
    lines += ["", "words of the language", *chain.from_iterable(row(*item) for item in WORDS.items())]
    lines += ["", "blocks (use NAME from std)"]
    lines += chain.from_iterable(row(block.name, block.text) for block in blocks())
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    """A summary's first sentence, without where it was first written about."""
    without_sources = re.sub(r" \([^()]*\b(19|20)\d\d\b[^()]*\)", "", text)
    return re.split(r"(?<! al)[.;](?= |$)", without_sources, maxsplit=1)[0].replace("`", "")


def _one(name: str) -> str:
    """The signature, defaults, rules and example of one layer."""
    from cnnc.compiler.ops import op_words
    from cnnc.reference import WORDS, blocks, layer, sample

    block = next((block for block in blocks() if block.name == name), None)
    if block is not None:
        return "\n".join([block.signature, "", *_wrapped(block.text), "", f"  use {name} from std"])
    word = WORDS.get(name.lower())
    if word is not None and name.lower() not in op_words():
        return "\n".join([name.lower(), "", *_wrapped(word)])
    record = layer(name)
    lines = [record.form + (f"    (also {', '.join(record.aliases)})" if record.aliases else "")]
    if record.signature != record.form:
        lines += wrap(record.signature, 100, subsequent_indent=" " * (len(record.kind) + 1))
    lines.append("")
    for paragraph in (record.summary, *record.details):
        lines += [*_wrapped(paragraph), ""]
    if record.brings:
        lines += [*_wrapped(f"It brings {record.brings}."), ""]
    width = max((len(str(argument)) for argument in record.arguments), default=0)
    for argument in record.arguments:
        start = f"  {argument!s:{width}}  "
        takes = argument.takes.replace("`", "")
        lines += wrap(takes, 100, initial_indent=start, subsequent_indent=" " * len(start))
    lines += [""] if record.arguments else []
    lines += [f"  on       {record.works_on}", f"  example  {sample(record).replace('`', '')}"]
    if word is not None:
        lines += ["", *_wrapped(word)]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return wrap(text.replace("`", ""), 96, initial_indent="  ", subsequent_indent="  ")
