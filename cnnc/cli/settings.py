"""What replaces a spec's own inputs, heads and params, as a command line and a lock say it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cnnc.dsl.record import record


@record
class Settings:
    """The values of `--input`, `--head` and `-D`; an input or head of the name None is the only one.

    As text they are the words of a command line, the same for the same settings in whatever order they were given.

    >>> str(Settings(params=(("w", "(1, 2)"),), heads=((None, 10), ("aux", 10))))
    "--head 10 --head aux=10 -D 'w=(1, 2)'"
    """

    sizes: tuple[tuple[str | None, str], ...] = ()
    heads: tuple[tuple[str | None, int], ...] = ()
    params: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sizes or self.heads or self.params)

    def __str__(self) -> str:
        import shlex

        words: list[str] = []
        for option, given in (("--input", self.sizes), ("--head", self.heads), ("-D", self.params)):
            texts = (f"{value}" if name is None else f"{name}={value}" for name, value in given)
            words += [word for text in sorted(texts) for word in (option, text)]
        return shlex.join(words)


NONE = Settings()

_OPTION = re.compile(r" (?=(?:--input|--head|-D) )")


def apart(name: str) -> tuple[str, str]:
    """A spec and the text of its settings, of the name that a lock gives it.

    >>> apart("nets/a.cnn --head 10"), apart("nets/a.cnn")
    (('nets/a.cnn', '--head 10'), ('nets/a.cnn', ''))
    """
    spec, *rest = _OPTION.split(name, maxsplit=1)
    return spec, "".join(rest)


def read_settings(text: str) -> Settings:
    """The settings of a text that `str(Settings(…))` gives. Raises ValueError where it is none."""
    if not text:
        return NONE
    import shlex

    import click

    from cnnc.cli.common import Head, Params, Size

    types: Mapping[str, click.ParamType[object]] = {"--input": Size(), "--head": Head(), "-D": Params()}
    found: dict[str, list[object]] = {option: [] for option in types}
    words = shlex.split(text)
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option not in types:
            raise ValueError(option)
        try:
            found[option].append(types[option].convert(value, None, None))
        except click.UsageError as error:
            raise ValueError(str(error)) from None
    read = Settings(*(tuple(sorted(given, key=str)) for given in found.values()))  # type: ignore[arg-type]
    if str(read) != text:
        raise ValueError(text)
    return read
