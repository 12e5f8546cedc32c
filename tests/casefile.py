"""Cases in files: what a command line prints about the files beside it, word for word.

A case is text in sections:

    # why the case is there
    $ cnnc check spec.cnn
    ---- spec.cnn
    conv3-64 -> conv9
    ---- output
    spec.cnn:1:13: error E302: …
    exit 1

There may be several commands (`cnnc check spec.cnn` where there is none); the
output holds what each prints, standard output and standard error as they come,
and its exit code. What is no plain file of text has a mark behind its name:

    ---- spec.cnn (hex)         bytes in hexadecimal
    ---- spec.cnn (escaped)     text in which \\t, \\r, \\n, \\u202e … are written out; its line end is dropped
    ---- spec.cnn (folder)      an empty folder
    ---- spec.cnn (link)        a symbolic link to the path in the section
    ---- stdin                  what the commands read from standard input
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from cnnc.cli.commands import cnnc

DEFAULT_COMMAND = "cnnc check spec.cnn"
_HEADER = re.compile(r"---- (?P<name>\S+)(?: \((?P<mark>hex|escaped|folder|link)\))?")


@dataclass(frozen=True, slots=True)
class Section:
    """A file of a case, or its output."""

    name: str
    mark: str | None
    text: str

    def make(self, folder: Path) -> None:
        """Put the file where the commands run."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        match self.mark:
            case "hex":
                path.write_bytes(bytes.fromhex(self.text))
            case "escaped":
                path.write_bytes(codecs.decode(self.text.removesuffix("\n"), "unicode_escape").encode("utf8"))
            case "folder":
                path.mkdir()
            case "link":
                path.symlink_to(self.text.strip())
            case _:
                path.write_bytes(self.text.encode("utf8"))


@dataclass(frozen=True, slots=True)
class Case:
    """One case file, taken apart. `head` is the text before its output."""

    path: Path
    head: str
    commands: tuple[str, ...]
    files: tuple[Section, ...]
    stdin: str
    output: str

    @staticmethod
    def read(path: Path) -> Case:
        """Raises ValueError where the file is no case."""
        head, header, output = path.read_text(encoding="utf8").partition("---- output\n")
        intro, *lines = re.split(r"^(?=---- )", head, flags=re.MULTILINE)
        for line in intro.splitlines():
            if not line.startswith(("#", "$ ")):
                raise ValueError(f"{path.name}: `{line}` is neither a comment nor a command")
        sections = []
        for section in lines:
            title, _, text = section.partition("\n")
            match = _HEADER.fullmatch(title)
            if match is None:
                raise ValueError(f"{path.name}: `{title}` is no section")
            sections.append(Section(match["name"], match["mark"], text))
        commands = tuple(line.removeprefix("$ ") for line in intro.splitlines() if line.startswith("$ "))
        files = tuple(section for section in sections if section.name != "stdin")
        stdin = "".join(section.text for section in sections if section.name == "stdin")
        return Case(path, head, commands or (DEFAULT_COMMAND,), files, stdin, output if header else "")

    def run(self, folder: Path) -> str:
        """Make the files in `folder`, which is the current one, and run the commands: their output."""
        for section in self.files:
            section.make(folder)
        return "".join(self._run_one(command) for command in self.commands)

    def _run_one(self, command: str) -> str:
        words = shlex.split(command)
        variables = {}
        while words and "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        if words[:1] != ["cnnc"]:
            raise ValueError(f"{self.path.name}: `{command}` is no cnnc command")
        done = CliRunner(env=variables).invoke(
            cnnc, words[1:], input=self.stdin.encode("utf8"), prog_name="cnnc", catch_exceptions=False
        )
        shown = f"$ {command}\n" if len(self.commands) > 1 else ""
        return f"{shown}{done.output}exit {done.exit_code}\n"

    def rewrite(self, output: str) -> None:
        """Make this the expected output."""
        self.path.write_text(f"{self.head}---- output\n{output}", encoding="utf8")


def cases_in(folder: Path) -> list[Path]:
    """The case files of a folder, in a fixed order."""
    return sorted(folder.glob("*.case"))


def strangers_in(folder: Path) -> list[str]:
    """What lies in a folder of cases and is none."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".case"))
