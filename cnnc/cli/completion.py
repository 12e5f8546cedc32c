"""What the shell completes a spec with, and the one thing that bash needs done for `zoo:NAME`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from cnnc.given import ZOO


def complete_spec(incomplete: str, *, zoo: bool = True) -> list[CompletionItem]:
    """The .cnn files and folders that a word may become, and the names of the zoo.

    The zoo is offered once its name has been begun, or where there is no file to offer.
    """
    values = list(_files(incomplete))
    if zoo and (incomplete.startswith(ZOO) or (ZOO.startswith(incomplete) and (incomplete or not values))):
        from cnnc.dsl.data import specs

        folder = specs()
        values += [f"{ZOO}{path.stem}" for path in sorted(folder.glob("*.cnn"))]
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _files(incomplete: str) -> Iterator[str]:
    """Specs and folders by the word begun. A lone folder is looked into, for a shell would end the word there."""
    head, tail = os.path.split(incomplete)
    folder = os.path.expanduser(head) or "."
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    shown = [
        (os.path.join(head, entry.name), entry.is_dir()) for entry in entries
        if entry.name.startswith(tail) and (tail or not entry.name.startswith("."))
        and (entry.is_dir() or entry.name.endswith(".cnn"))
    ]  # fmt: skip
    if len(shown) == 1 and shown[0][1]:
        inside = list(_files(f"{shown[0][0]}/"))
        yield from inside or [f"{shown[0][0]}/"]
        return
    yield from (f"{path}/" if is_folder else path for path, is_folder in shown)


@add_completion_class
class Bash(BashComplete):
    """Click's completion for bash, which breaks words at colons: `zoo:vgg16` comes as three words,
    and what is answered must be the part after the colon alone."""

    _glued = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and (word == ":" or words[-1].endswith(":")):
                words[-1] += word
            else:
                words.append(word)
        whole = words.pop()
        self._glued = whole[: whole.rfind(":") + 1] if whole != incomplete else ""
        return words, whole

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        items = super().get_completions(args, incomplete)
        for item in items:
            item.value = item.value.removeprefix(self._glued)
        return items
