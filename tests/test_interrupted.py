"""However a command ends, there is no half-written file, no litter and no traceback: signals, full disks, bad paths."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cnnc

if os.name == "nt":
    pytest.skip("signals and limits of POSIX", allow_module_level=True)

SPEC = "input 3x8x8\nconv3-8 -> pool -> fc-2\nexpect params == 482\n"
UGLY = SPEC.replace(" -> ", "  ->  ") + "# a comment\n" * 400
PRECIOUS = "precious\n"

# Every command that writes a file, and the file.
WRITERS = {
    "compile": ("compile zoo:resnet18 -o out", "out"),
    "json": ("compile zoo:resnet18 --to json -o out", "out"),
    "expand": ("expand zoo:resnet18 -o out", "out"),
    "draw": ("draw zoo:resnet18 -o out.dot", "out.dot"),
    "volumes": ("draw a.cnn --style volumes -o out.svg", "out.svg"),
    "report": ("report a.cnn -o out.html", "out.html"),
    "check": ("check a.cnn b.cnn --format sarif -o out", "out"),
    "lock": ("lock a.cnn b.cnn --lock out.lock", "out.lock"),
    "fmt": ("fmt ugly.cnn", "ugly.cnn"),
}
PRINTERS = {
    "check": "check a.cnn",
    "check -v": "check . -v",
    "json": "check a.cnn --format json",
    "summary": "summary zoo:resnet18",
    "expand": "expand zoo:resnet18",
    "ops": "ops",
    "fmt": "fmt -",
    "compile": "compile a.cnn -o -",
    "diff": "diff zoo:resnet18 zoo:resnet34",
    "help": "--help",
    "version": "--version",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.cnn", "b.cnn"):
        (tmp_path / name).write_text(SPEC)
    (tmp_path / "ugly.cnn").write_text(UGLY)
    return tmp_path


def started(folder: Path, words: str, *, code: str = "", **options: object) -> subprocess.Popen[str]:
    """A run of the command line, after some code of the test's, that says `ready` when a signal is safe to send.

    What comes before is Python's own start, which answers SIGINT in its own way.
    """
    code += "\nfrom cnnc.cli import main\nfrom cnnc.cli.signals import stop_cleanly\nstop_cleanly()\n"
    code += "import sys\nprint('ready', file=sys.stderr, flush=True)\nmain()\n"
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code, *words.split()], cwd=folder, text=True,
        # No byte code: where files may not grow, Python would leave half of it for the runs to come.
        env={
            **os.environ, "CNNC_TRACEBACK": "", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


def clean(told: str) -> bool:
    return not any(word in told for word in ("Traceback", "Exception", "itself failed", "Errno"))


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


# --- signals --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["compile", "lock", "fmt"])
def test_killed_while_it_writes(folder: Path, command: str, number: signal.Signals) -> None:
    """At the worst moment: the new text is there, and not yet in its place."""
    words, file = WRITERS[command]
    if not (folder / file).exists():
        (folder / file).write_text(SPEC if file.endswith(".cnn") else "version = 1\n")
    before, there = (folder / file).read_text(), names(folder)
    stop = (
        "import pathlib, sys, time\n"
        "def replace(self, target):\n"
        "    print('writing', file=sys.stderr, flush=True)\n"
        "    time.sleep(60)\n"
        "pathlib.Path.replace = replace\n"
    )
    with started(folder, words, code=stop) as run:
        assert run.stderr is not None
        while run.stderr.readline() != "writing\n":
            assert run.poll() is None
        assert names(folder) > there  # else this tests nothing
        run.send_signal(number)
        out, told = run.communicate(timeout=20)
    assert run.returncode == -number
    assert (out, told) == ("", "")
    assert (folder / file).read_text() == before
    assert names(folder) == there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["compile", "check"])
def test_killed_at_any_moment(folder: Path, command: str, number: signal.Signals) -> None:
    """At moments spread over a whole run: the old file or the new one, and silence."""
    words, file = WRITERS[command]
    start = time.perf_counter()
    with started(folder, words) as run:
        run.communicate(timeout=60)
        assert run.returncode == 0
    whole, seconds = (folder / file).read_text(), time.perf_counter() - start
    there = names(folder)
    killed = 0
    for step in range(7):
        (folder / file).write_text(PRECIOUS)
        with started(folder, words) as run:
            assert run.stderr is not None
            assert run.stderr.readline() == "ready\n"
            time.sleep(seconds * step / 8)
            run.send_signal(number)
            _, told = run.communicate(timeout=20)
        assert clean(told), told
        assert run.returncode in (0, -number), told
        assert (folder / file).read_text() in (PRECIOUS, whole)
        assert run.returncode != 0 or (folder / file).read_text() == whole
        assert names(folder) == there
        killed += run.returncode != 0
    assert killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_killed_with_processes_at_work(folder: Path, number: signal.Signals) -> None:
    """As by Ctrl-C on a terminal, which goes to the whole group; the workers end with it."""
    specs = " ".join(["zoo:densenet264", "zoo:preact_resnet1001", "zoo:resnet1202", "zoo:densenet201"])
    with started(folder, f"check {specs} -j 2 -v", start_new_session=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "ready\n"
        time.sleep(0.5)
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        # communicate() waits for the end of the pipes, which the workers hold too
        _, told = run.communicate(timeout=20)
    assert run.returncode == -number
    assert clean(told), told


def test_a_signal_that_the_parent_ignores_stays_ignored(folder: Path) -> None:
    """As under nohup."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started(folder, "expand a.cnn -o out", preexec_fn=ignore) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "ready\n"
        run.send_signal(signal.SIGHUP)
        run.communicate(timeout=60)
    assert run.returncode == 0
    assert (folder / "out").exists()


# --- a full disk ----------------------------------------------------------------------


@pytest.mark.parametrize("command", WRITERS)
def test_a_disk_that_is_full(folder: Path, command: str) -> None:
    """The limit on a file's size stands for it: writing fails after some bytes."""
    words, file = WRITERS[command]
    if not (folder / file).exists():
        (folder / file).write_text("version = 1\n")
    before, there = (folder / file).read_text(), names(folder)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    with started(folder, words, preexec_fn=limit) as run:
        _, told = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"error E703: `{file}` cannot be written: File too large\n" in told
    assert clean(told), told
    assert (folder / file).read_text() == before
    assert names(folder) == there


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", PRINTERS)
def test_standard_output_that_is_full(folder: Path, command: str) -> None:
    with open("/dev/full", "w") as full, started(folder, PRINTERS[command], stdout=full, stdin=None) as run:
        _, told = run.communicate(timeout=60) if command != "fmt" else _fed(folder, full)
    assert "error E703: standard output cannot be written: No space left on device\n" in told
    assert clean(told), told
    assert command == "fmt" or run.returncode == 1


def _fed(folder: Path, full: object) -> tuple[str, str]:
    with started(folder, "fmt -", stdin=subprocess.PIPE, stdout=full) as run:
        out, told = run.communicate(UGLY, timeout=60)
    assert run.returncode == 1
    return out, told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_both_streams_full(folder: Path) -> None:
    (folder / "bad.cnn").write_text("conv3-8 -> blorp\n")
    command = [sys.executable, "-m", "cnnc", "check", "bad.cnn"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=full, timeout=60, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("words", ["check a.cnn", "compile a.cnn -o -", "summary a.cnn", "check -"])
def test_closed_streams(folder: Path, words: str) -> None:
    """`<&- >&-`: a process may start without standard input and output."""
    shell = f"exec {sys.executable} -m cnnc {words} <&- >&-"
    done = subprocess.run(
        ["sh", "-c", shell], cwd=folder, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        env={**os.environ, "CNNC_TRACEBACK": ""},
    )  # fmt: skip
    assert done.returncode == (1 if "-" in words.split() else 0)
    assert clean(done.stderr), done.stderr


# --- paths ----------------------------------------------------------------------------


def finished(folder: Path, words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-m", "cnnc", *words.split()], cwd=folder, capture_output=True, text=True,
        timeout=60, check=False, env={**os.environ, "CNNC_TRACEBACK": ""},
    )  # fmt: skip


@pytest.mark.parametrize("command", [name for name in WRITERS if name != "fmt"])
def test_an_output_that_is_a_folder(folder: Path, command: str) -> None:
    words, file = WRITERS[command]
    (folder / file).mkdir()
    done = finished(folder, words)
    assert done.returncode == 1
    assert f"`{file}` is a folder" in done.stderr
    assert clean(done.stderr), done.stderr
    assert names(folder / file) == set()


@pytest.mark.parametrize("command", WRITERS)
def test_a_folder_that_is_read_only(folder: Path, command: str) -> None:
    words, file = WRITERS[command]
    there = names(folder)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root may write anywhere unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("root, and there is no setpriv to give up writing anywhere")
        prefix = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    folder.chmod(0o555)
    try:
        done = finished(folder, words, prefix)
    finally:
        folder.chmod(0o755)
    assert done.returncode == 1
    assert f"error E703: `{file}` cannot be written: Permission denied\n" in done.stderr
    assert clean(done.stderr), done.stderr
    assert names(folder) == there


@pytest.mark.parametrize(
    ("spoil", "file", "told"),
    [
        (lambda p: p.symlink_to(p), "loop", "Too many levels of symbolic links"),
        (lambda p: None, "no/such/folder", "No such file or directory"),
        (lambda p: None, "a.cnn/out", "Not a directory"),
        (lambda p: None, "n" * 300, "File name too long"),
    ],
)
def test_paths_that_cannot_be(folder: Path, spoil: Callable[[Path], None], file: str, told: str) -> None:
    spoil(folder / file)
    done = finished(folder, f"expand a.cnn -o {file}")
    assert done.returncode == 1
    assert done.stderr == f"error E703: `{file}` cannot be written: {told}\n"


def test_a_read_only_file_is_not_replaced(folder: Path) -> None:
    (folder / "out").write_text(PRECIOUS)
    (folder / "out").chmod(0o444)
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root, and there is no setpriv to give up writing anywhere")
        prefix: tuple[str, ...] = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    else:
        prefix = ()
    done = finished(folder, "expand a.cnn -o out", prefix)
    assert done.returncode == 1
    assert done.stderr == "error E703: `out` cannot be written: it is read-only\n"
    assert (folder / "out").read_text() == PRECIOUS


def test_a_long_name_needs_no_longer_one(folder: Path) -> None:
    """The file beside, which is moved into place, has a short name of its own."""
    assert finished(folder, f"expand a.cnn -o {'n' * 255}").returncode == 0


def test_links_are_followed_and_modes_kept(folder: Path) -> None:
    (folder / "real").write_text(PRECIOUS)
    (folder / "real").chmod(0o640)
    (folder / "link").symlink_to("real")
    assert finished(folder, "expand a.cnn -o link").returncode == 0
    assert (folder / "link").is_symlink()
    assert "conv3-8" in (folder / "real").read_text()
    assert (folder / "real").stat().st_mode & 0o777 == 0o640


def test_names_that_are_not_text(folder: Path) -> None:
    """A file's name may be any bytes; it is told as far as it can be."""
    (folder / os.fsdecode(b"bad\xff.cnn")).write_text("conv3-8 -> blorp\n")
    for format in ("text", "json", "github", "junit", "sarif"):
        done = finished(folder, f"check . --format {format}")
        assert done.returncode == 1
        assert clean(done.stderr), done.stderr
    assert clean(finished(folder, "lock .").stderr)


# --- one way to write -----------------------------------------------------------------


def test_every_command_writes_by_the_one_function() -> None:
    """What opens a file for writing elsewhere would be none of the above."""
    package = Path(cnnc.__file__).parent
    helpers = package / "backends" / "pytorch" / "helpers"  # these are copied into what users run
    writes = re.compile(r"\.write_(text|bytes)\(|open\([^)]*[\"'][wax+]b?[\"']|mkstemp|NamedTemporaryFile")
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if helpers not in path.parents and writes.search(path.read_text(encoding="utf8"))
    }
    assert found == {
        "cli/files.py",
        "dsl/data.py",  # unpacks a zip's specs into a folder of its own
        "page/answers.py",  # in the browser, whose files live as long as the page
    }
