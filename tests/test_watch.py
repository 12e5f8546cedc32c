"""`cnnc check --watch`: a process that stays, and tells what a save changed and no more."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

SPEC = "input 3x8x8\nconv3-8 -> pool -> fc-2\nexpect params == 482\n"
HELD = "ok: 482 parameters, 14,080 MACs, output 2, 1 of 1 claim holds"


class Watch:
    """A running `cnnc check --watch`, its two streams read as one as they come."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cnnc", "check", "--watch", *words], cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """The next line; fails where none comes."""
        return self._lines.get(timeout=20)

    def lines(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def silent(self) -> bool:
        """Whether nothing more is told, over some looks at the files."""
        try:
            self._lines.get(timeout=1.2)
        except queue.Empty:
            return True
        return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.cnn").write_text(SPEC)
    return tmp_path


@pytest.fixture
def watch(folder: Path) -> Iterator[Watch]:
    (folder / "b.cnn").write_text(SPEC)
    running = Watch(folder, ".")
    assert running.line() == "2 specs, 2 of 2 claims hold; watching, Ctrl-C ends it"
    yield running
    running.end()


def save(path: Path, text: str) -> None:
    """Save as careful editors do: a new file put in the old one's place."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def test_only_what_changed_is_told(watch: Watch, folder: Path) -> None:
    save(folder / "a.cnn", SPEC.replace("conv3-8", "conv3-9"))
    assert watch.lines(4) == [
        "a.cnn:3:8: error E601: `params == 482` does not hold: it is 542, 60 more than the 482 claimed",
        "    expect params == 482",
        "           ^^^^^^^^^^^^^",
        "a.cnn: failed: 542 parameters, 15,840 MACs, output 2, 0 of 1 claim holds",
    ]
    save(folder / "a.cnn", "# moved down a line\n" + SPEC.replace("conv3-8", "conv3-9"))
    assert watch.line() == "a.cnn: as before"
    save(folder / "a.cnn", SPEC)
    assert watch.lines(2) == [
        "a.cnn: mended: E601: `params == 482` does not hold: it is 542, 60 more than the 482 claimed",
        f"a.cnn: {HELD}",
    ]
    assert watch.silent()


def test_a_save_in_place_is_seen(watch: Watch, folder: Path) -> None:
    (folder / "b.cnn").write_text(SPEC.replace("482", "483"))
    assert watch.line().startswith("b.cnn:3:8: error E601")


def test_an_error_of_form_mends_no_claim(watch: Watch, folder: Path) -> None:
    save(folder / "a.cnn", SPEC.replace("482", "500"))
    assert watch.lines(4)[-1].startswith("a.cnn: failed: 482 parameters")
    save(folder / "a.cnn", SPEC.replace("482", "500").replace("pool", "pol"))
    assert watch.line().startswith("a.cnn:2:12: error E201")
    assert watch.lines(4)[-1] == "a.cnn: failed"


def test_specs_come_and_go(watch: Watch, folder: Path) -> None:
    (folder / "c.cnn").write_text(SPEC)
    assert watch.line() == f"c.cnn: {HELD}"
    (folder / "c.cnn").unlink()
    assert watch.line() == "c.cnn: gone"
    assert watch.silent()


def test_a_used_file_is_watched_too(folder: Path) -> None:
    (folder / "lib.cnn").write_text("block unit(w) = conv3-w -> pool\n")
    (folder / "a.cnn").write_text('use unit from "lib.cnn"\ninput 3x8x8\nunit(8) -> fc-2\n')
    running = Watch(folder, "a.cnn")
    try:
        assert running.lines(2)[0] == "a.cnn: ok: 482 parameters, 14,080 MACs, output 2"
        (folder / "lib.cnn").unlink()
        assert running.line().startswith("a.cnn:1:15: error E701: there is no file `lib.cnn`")
        assert running.lines(4)[-1] == "a.cnn: failed"
        (folder / "lib.cnn").write_text("block unit(w) = conv3-{w+1} -> pool\n")
        assert running.lines(2) == [
            "a.cnn: mended: E701: there is no file `lib.cnn`",
            "a.cnn: ok: 542 parameters, 15,840 MACs, output 2",
        ]
    finally:
        running.end()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_word(watch: Watch, number: signal.Signals) -> None:
    watch.process.send_signal(number)
    assert watch.process.wait(timeout=20) == -number
    assert watch.silent()
