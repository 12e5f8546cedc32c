"""`cnnc lock` and `cnnc check --locked`: what is recorded, how it merges, and what a difference says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cnnc as package
from cnnc.cli.commands import cnnc
from cnnc.cli.lock_file import Entries, _sections, render_lock
from cnnc.compiler.baseline import baseline
from cnnc.net import load, parse

SHIPPED = sorted((Path(package.__file__).parent / "specs").glob("*.cnn"))

A = "input 3x8x8\nc: conv3-8 -> pool -> fc-2\n"
B = "default conv(norm=bn)\ninput image: 1x16x16\n[[conv3-4]*11]*1 -> gap -> fc-3\n"

LOCK = """\
# What the networks were when they were locked. `cnnc lock` writes this; `cnnc check --locked` holds to it.
version = 2

["nets/a.cnn"]
inputs.input = "3x8x8"
macs = 14080
outputs.output = "2"
params = 482
rf.output = "whole input"

["nets/a.cnn".state_dict]
"c" = "8 bias, 8x3x3x3 weight"
"fc1" = "2 bias, 2x128 weight"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "a.cnn").write_text(A)
    return tmp_path


def test_a_name_that_no_lock_can_hold_is_left_out(folder: Path) -> None:
    (folder / "good.cnn").write_text("input 3x8x8\nconv3-8\n")
    Path(os.fsdecode(b"bad\xff.cnn")).write_text("input 3x8x8\nconv3-8\n")
    first, again = run("lock", "."), run("lock", ".")
    assert first.exit_code == again.exit_code == 1
    assert "cannot be locked: its name is not UTF-8" in first.output
    assert "wrote cnnc.lock (2 networks: 2 new)" in first.output
    assert "cnnc.lock is up to date (2 networks)" in again.output


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cnnc, words, input=stdin, prog_name="cnnc", catch_exceptions=False)


def lock(*words: str) -> str:
    """Lock, and what was told."""
    done = run("lock", *words)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    return done.stderr


# --- what is recorded -----------------------------------------------------------------


def test_a_lock_is_this_text(folder: Path) -> None:
    assert lock("nets") == "wrote cnnc.lock (1 network: 1 new)\n"
    assert (folder / "cnnc.lock").read_text() == LOCK
    assert lock("nets") == "cnnc.lock is up to date (1 network)\n"


def test_numbers_in_names_are_sorted_as_numbers() -> None:
    weights = [key for key in baseline(parse(B).graph).tensors if re.fullmatch(r"conv\d+\.weight", key)]
    assert weights == [f"conv{i}.weight" for i in range(1, 12)]


@pytest.mark.parametrize(
    "name", ["resnet18", "googlenet_aux", "siamese", "densenet40_k12", "unet", "capsnet"]
)
def test_the_keys_are_those_of_the_module(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the module is built to be compared with")
    net = load(f"zoo:{name}")
    with torch.device("meta"):
        built = net.module()
    wanted = {key: "x".join(map(str, tensor.shape)) or "scalar" for key, tensor in built.state_dict().items()}
    found = baseline(net.graph)
    assert found.tensors == wanted
    assert found.figures["params"] == sum(p.numel() for p in built.parameters())


def test_fields_and_free_sizes() -> None:
    figures = baseline(parse("input 3xHxW\nconv3-8/2 -> maxpool3/2 -> out: conv1-4\n").graph).figures
    assert figures["inputs.input"] == "3xHxW"
    assert figures["rf.output"] == "7x7, stride 4x4"
    assert isinstance(figures["macs"], str)
    assert figures["params"] == 8 * 27 + 8 + 4 * 8 + 4


def test_weights_that_only_another_package_knows() -> None:
    known = 'extern att = "mypkg:Att" (shape=same, params=98)\ninput 3x8x8\natt -> conv1-2\n'
    assert baseline(parse(known).graph).tensors["extern1.*"] == "98"
    unknown = known.replace(", params=98", "")
    assert baseline(parse(unknown).graph).tensors["extern1.*"] == "unknown"


def test_networks_of_many_kinds_survive_the_file(folder: Path) -> None:
    """Several inputs and outputs, shared modules, free sizes, local weights, long names."""
    names = [
        "siamese",
        "two_stream",
        "googlenet_aux",
        "unet",
        "capsnet",
        "densenet40_k12",
        "resnet20",
        "alphago_policy",
    ]
    shutil.copytree(Path(package.__file__).parent / "specs", folder / "specs")
    assert lock(*(f"specs/{name}.cnn" for name in names)) == "wrote cnnc.lock (8 networks: 8 new)\n"
    text = (folder / "cnnc.lock").read_text()
    assert sorted(tomllib.loads(text)) == sorted(["version", *(f"specs/{name}.cnn" for name in names)])
    assert run("check", "--locked").exit_code == 0
    assert lock() == "cnnc.lock is up to date (8 networks)\n"


def test_odd_names_survive_the_file(folder: Path) -> None:
    name = 'nets/q" é #[=]\x7f.cnn'
    (folder / name).write_text('input 3x8x8\n"block1-0": conv3-2\noutput "block1-0"\n')
    lock("nets")
    assert run("check", "nets", "--locked").exit_code == 0
    assert '"block1-0" = "2 bias, 2x3x3x3 weight"' in (folder / "cnnc.lock").read_text()


# --- what changes in a lock -----------------------------------------------------------


def test_a_lock_of_the_first_version_is_read(folder: Path) -> None:
    first = LOCK.replace("version = 2", "version = 1").replace(
        '"c" = "8 bias, 8x3x3x3 weight"', '"c.bias" = "8"\n"c.weight" = "8x3x3x3"'
    )
    first = first.replace('"fc1" = "2 bias, 2x128 weight"', '"fc1.bias" = "2"\n"fc1.weight" = "2x128"')
    (folder / "cnnc.lock").write_text(first)
    assert run("check", "nets", "--locked").exit_code == 0


def test_a_text_that_was_changed_by_hand_is_read_as_well(folder: Path) -> None:
    lock("nets")
    (folder / "cnnc.lock").write_text(
        LOCK.replace("macs = ", "macs  =  ").replace("version", "# merged\nversion")
    )
    assert run("check", "nets", "--locked").exit_code == 0
    (folder / "cnnc.lock").write_text(LOCK.replace("8x3x3x3", "8x3x3x4"))
    assert "c.weight: 8x3x3x4 -> 8x3x3x3" in run("check", "nets", "--locked").stderr
    (folder / "cnnc.lock").write_text(LOCK + LOCK.partition("version = 2\n")[2])
    assert "the lock cannot be read: Cannot declare" in run("check", "nets", "--locked").stderr


def test_every_network_that_ships_is_read_as_it_was_written() -> None:
    """By the short way, which compares texts, and by TOML's reader."""
    found = {f"{path.stem}.cnn": baseline(load(f"zoo:{path.stem}").graph) for path in SHIPPED[::9]}
    text = render_lock(found)
    sections = _sections(text)
    assert sections is not None
    assert list(sections) == sorted(found)
    entries = Entries("x.lock", sections, {})
    assert all(entries.records(key, entry) and entries[key] == entry for key, entry in found.items())


def test_other_entries_stay(folder: Path) -> None:
    (folder / "nets" / "b.cnn").write_text(B)
    lock("nets")
    (folder / "nets" / "a.cnn").write_text(A.replace("conv3-8", "conv3-9"))
    (folder / "nets" / "b.cnn").write_text(B.replace("fc-3", "fc-4"))
    assert lock("nets/b.cnn") == "wrote cnnc.lock (2 networks: 1 changed)\n"
    told = run("check", "nets", "--locked").stderr
    assert "`nets/a.cnn` differs from its record in cnnc.lock" in told
    assert "`nets/b.cnn`" not in told


def test_all_of_the_lock_is_recorded_anew_without_specs(folder: Path) -> None:
    (folder / "nets" / "b.cnn").write_text(B)
    lock("nets")
    (folder / "nets" / "a.cnn").unlink()
    (folder / "nets" / "b.cnn").write_text(B.replace("fc-3", "fc-4"))
    (folder / "nets" / "c.cnn").write_text(A)
    assert lock() == "wrote cnnc.lock (1 network: 1 changed, 1 gone)\n"
    assert list(tomllib.loads((folder / "cnnc.lock").read_text())) == ["version", "nets/b.cnn"]


def test_the_order_of_the_words_does_not_matter(folder: Path) -> None:
    (folder / "nets" / "b.cnn").write_text(B)
    lock("nets/a.cnn", "nets/b.cnn")
    first = (folder / "cnnc.lock").read_text()
    (folder / "cnnc.lock").unlink()
    lock("nets/b.cnn")
    lock("nets/a.cnn")
    assert (folder / "cnnc.lock").read_text() == first


def test_a_spec_that_is_wrong_leaves_the_lock_alone(folder: Path) -> None:
    lock("nets")
    (folder / "nets" / "b.cnn").write_text("conv3-8 -> blorp\n")
    done = run("lock", "nets")
    assert done.exit_code == 1
    assert "error E201" in done.stderr
    assert done.stderr.endswith("cnnc.lock is left as it was\n")
    assert (folder / "cnnc.lock").read_text() == LOCK


def test_a_failed_claim_can_be_locked(folder: Path) -> None:
    """A lock records networks; claims are for check."""
    (folder / "nets" / "a.cnn").write_text(A + "expect params == 1\n")
    lock("nets")
    assert "error E601" in run("check", "nets", "--locked").stderr


def test_libraries_are_not_networks(folder: Path) -> None:
    (folder / "nets" / "lib.cnn").write_text("block a(w) = conv3-w -> pool\n")
    lock("nets")
    assert (folder / "cnnc.lock").read_text() == LOCK
    assert run("check", "nets", "--locked").exit_code == 0
    (folder / "nets" / "a.cnn").write_text("block a(w) = conv3-w -> pool\n")
    done = run("check", "nets", "--locked")
    assert (
        "error E604: `nets/a.cnn` is locked as a network in cnnc.lock, but has no layers of its own"
        in done.stderr
    )
    lock("nets")
    assert "a.cnn" not in (folder / "cnnc.lock").read_text()


@pytest.mark.parametrize("words", [("lock",), ("lock", "-")])
def test_a_wrong_command_line(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_TRACEBACK", "")
    assert run(*words).exit_code == 2


def test_a_lock_elsewhere_names_specs_from_its_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock("nets", "--lock", "nets/my.lock")
    assert '["a.cnn"]' in (folder / "nets" / "my.lock").read_text()
    assert run("check", "--locked", "--lock", "nets/my.lock").exit_code == 0
    monkeypatch.chdir(folder / "nets")
    assert run("check", ".", "--locked", "--lock", "my.lock").exit_code == 0
    assert run("check", str(folder / "nets" / "a.cnn"), "--locked", "--lock", "my.lock").exit_code == 0


# --- what check tells -----------------------------------------------------------------


def test_a_change_is_told_item_by_item(folder: Path) -> None:
    lock("nets")
    (folder / "nets" / "a.cnn").write_text("input 3x8x8\nd: conv3-9 -> pool -> fc-2\n")
    done = run("check", "nets", "--locked")
    assert done.exit_code == 1
    assert done.stderr == (
        "nets/a.cnn:2:4: error E603: `nets/a.cnn` differs from its record in cnnc.lock\n"
        "    d: conv3-9 -> pool -> fc-2\n"
        "       ^^^^^^^\n"
        "    macs: 14,080 -> 15,840 (+1,760)\n"
        "    params: 482 -> 542 (+60)\n"
        "    c.bias: gone, was 8\n"
        "    c.weight: gone, was 8x3x3x3\n"
        "    d.bias: new, 9\n"
        "    d.weight: new, 9x3x3x3\n"
        "    fc1.weight: 2x128 -> 2x144\n"
        "    hint: if the change is intended, run `cnnc lock nets/a.cnn` and commit the lock with it\n"
        "1 spec, 1 error\n"
    )


def test_a_long_change_is_cut_short(folder: Path) -> None:
    (folder / "nets" / "a.cnn").write_text(B)
    lock("nets")
    (folder / "nets" / "a.cnn").write_text(B.replace("conv3-4", "conv3-5"))
    told = run("check", "nets", "--locked").stderr
    assert len(told.splitlines()) < 24
    # 11 weights, all listed; 11 x 4 tensors of batch norms (not their counters) and fc1.weight
    assert told.count(".weight: ") == 11
    assert "    … and 45 tensors whose sizes follow from these\n" in told


def test_a_change_is_told_at_its_layer_or_at_the_call_that_gives_it(folder: Path) -> None:
    """The first layer of the network that differs, not the first by name; the call, where others of it are as before."""
    text = "input 3x8x8\nblock b(w) = z: conv3-w -> a: conv3-w\nn: b(8) -> m: b(9) -> fc-2\n"
    spec = folder / "nets" / "a.cnn"
    spec.write_text(text)
    lock("nets")
    spec.write_text(text.replace("b(9)", "b(7)"))
    assert run("check", "nets", "--locked").stderr.startswith("nets/a.cnn:3:15: error E603")
    spec.write_text(text.replace("b(8)", "b(6)"))  # the layers of the second call only take other channels
    assert run("check", "nets", "--locked").stderr.startswith("nets/a.cnn:3:4: error E603")
    spec.write_text(text.replace("a: conv3-w", "a: conv1-w"))
    assert run("check", "nets", "--locked").stderr.startswith("nets/a.cnn:2:31: error E603")


def test_the_lock_is_found_from_the_spec_up_to_the_root(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text("[tool.cnnc]\n")
    lock("nets")
    monkeypatch.chdir(folder / "nets")
    assert run("check", "a.cnn", "--locked").exit_code == 0
    assert lock("a.cnn") == "../cnnc.lock is up to date (1 network)\n"
    (folder / "nets" / "a.cnn").write_text(A.replace("conv3-8", "conv3-9"))
    done = run("check", "a.cnn", "--locked")
    assert "`a.cnn` differs from its record in ../cnnc.lock" in done.stderr
    (command,) = re.findall(r"run `cnnc (lock [^`]*)`", done.stderr)
    assert run(*command.split()).exit_code == 0
    monkeypatch.chdir("/")
    assert run("check", str(folder / "nets"), "--locked").exit_code == 0


def test_a_lock_above_the_root_is_not_taken(folder: Path) -> None:
    (folder / "cnnc.lock").write_text("no lock at all")
    (folder / "nets" / "pyproject.toml").write_text("[tool.cnnc]\n")
    assert run("check", "nets/a.cnn", "--locked").stderr.startswith(
        "cnnc.lock:1:4: error E604"
    )  # the one beside
    (folder / "cnnc.lock").unlink()
    assert lock("nets") == "wrote nets/cnnc.lock (1 network: 1 new)\n"


def test_what_does_not_change_the_network_is_no_change(folder: Path) -> None:
    lock("nets")
    (folder / "nets" / "a.cnn").write_text(
        "# a comment\nmodel other\ninput 3x8x8\n\nc: conv3-8\npool -> fc-2\n"
    )
    assert run("check", "nets", "--locked").exit_code == 0


def test_missing_and_gone(folder: Path) -> None:
    lock("nets")
    (folder / "nets" / "a.cnn").rename(folder / "nets" / "b.cnn")
    done = run("check", "nets", "--locked")
    assert done.stderr == (
        "error E604: `nets/b.cnn` is not in cnnc.lock\n"
        "    hint: run `cnnc lock nets/b.cnn`\n"
        "error E604: `nets/a.cnn` is in cnnc.lock, but there is no such file\n"
        "    hint: if that is intended, run `cnnc lock`\n"
        "2 specs, 2 errors\n"
    )
    assert done.exit_code == 1


def test_only_what_is_asked_for_is_checked_but_what_is_gone_is_told(folder: Path) -> None:
    """As by a pre-commit hook, which names the files of the commit."""
    (folder / "nets" / "b.cnn").write_text(B)
    lock("nets")
    (folder / "nets" / "b.cnn").write_text(B.replace("fc-3", "fc-4"))
    assert run("check", "nets/a.cnn", "--locked").exit_code == 0
    (folder / "nets" / "b.cnn").unlink()
    assert run("check", "nets/a.cnn", "--locked").exit_code == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "error E604: `cnnc.lock` is a lock of version none, and this cnnc reads versions 1 and 2"),
        ("version = 3\n", "error E604: `cnnc.lock` is a lock of version 3"),
        ("version = 1\nx = 3\n", "error E604: the record of `x` in `cnnc.lock` is damaged"),
        (
            'version = 1\n["a.cnn"]\nparams = 1.5\n[a.state_dict]\n',
            "the record of `a.cnn` in `cnnc.lock` is damaged",
        ),
        (
            "version = 1\noops\n",
            "cnnc.lock:2:5: error E604: the lock cannot be read: Expected '=' after a key",
        ),
        ("version = 1\n<<<<<<< mine\n", "cnnc.lock:2:1: error E604: the lock contains merge markers"),
    ],
)
@pytest.mark.parametrize("command", ["check", "lock"])
def test_a_file_that_is_no_lock(folder: Path, text: str, told: str, command: str) -> None:
    (folder / "cnnc.lock").write_text(text)
    done = run(command, "nets", *(["--locked"] if command == "check" else []))
    assert done.exit_code == 1
    assert told in done.stderr
    assert (folder / "cnnc.lock").read_text() == text


def test_no_lock(folder: Path) -> None:
    done = run("check", "nets", "--locked")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "error E701: there is no lock `cnnc.lock`\n    hint: `cnnc lock SPEC…` writes one\n"
    )


# --- merging --------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git") is None, reason="merges with git")
def test_branches_that_change_different_networks_merge(folder: Path) -> None:
    """Two branches, each with its own network changed and locked, and one of them with a third: no conflict."""

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(["git", *who, *words], check=True, capture_output=True, env=environment)

    (folder / "nets" / "b.cnn").write_text(B)
    lock("nets")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "1")
    git("checkout", "-qb", "one")
    (folder / "nets" / "a.cnn").write_text(A.replace("fc-2", "fc-5"))
    lock("nets")
    git("commit", "-qam", "2")
    git("checkout", "-q", "main")
    (folder / "nets" / "b.cnn").write_text(B.replace("fc-3", "fc-4"))
    (folder / "nets" / "c.cnn").write_text(B)
    lock("nets")
    git("add", ".")
    git("commit", "-qm", "3")
    git("merge", "-q", "one", "-m", "4")
    assert run("check", "nets", "--locked").exit_code == 0


# --- settings -----------------------------------------------------------------------------

W = "param width = 8\ninput 3x8x8\nc: conv3-{width} -> pool -> fc: fc-2\nexpect params == 482\n"


def sections(folder: Path) -> list[str]:
    return [key for key in tomllib.loads((folder / "cnnc.lock").read_text()) if key != "version"]


def test_a_network_is_locked_with_settings(folder: Path) -> None:
    """It is recorded beside the plain spec, and every check compares both; claims are checked of the plain spec only."""
    (folder / "nets" / "a.cnn").write_text(W)
    lock("nets")
    assert lock("nets/a.cnn", "-D", "width=4", "--head", "10", "--input", "1x16x16") == (
        "wrote cnnc.lock (2 networks: 1 new)\n"
    )
    name = "nets/a.cnn --input 1x16x16 --head 10 -D width=4"
    assert sections(folder) == ["nets/a.cnn", name]
    entry = tomllib.loads((folder / "cnnc.lock").read_text())[name]
    assert entry["state_dict"] == {"c": "4 bias, 4x1x3x3 weight", "fc": "10 bias, 10x256 weight"}
    settings = ("--input", "1x16x16", "-D", "width=4", "--head", "10")
    with_head = load("nets/a.cnn", width=4, head=10, input="1x16x16")
    assert entry["params"] == with_head.params
    assert run("check", "nets", "--locked").stdout == (
        "nets/a.cnn: ok: 482 parameters, 14,080 MACs, output 2, 1 of 1 claim holds\n"
        f"{name}: ok: 2,610 parameters, 11,776 MACs, output 10\n1 spec, 1 of 1 claim holds\n"
    )
    assert run("check", "nets/a.cnn", "--locked", *settings).stdout.startswith(
        f"{name}: ok: 2,610 parameters"
    )
    (folder / "nets" / "a.cnn").write_text(W.replace("fc: fc-2", "last: fc-2"))
    told = run("check", "nets/a.cnn", "--locked").stderr
    assert "`nets/a.cnn` differs from its record" in told and f"`{name}` differs from its record" in told
    assert "last.weight: new, 10x256" in told
    assert lock("nets/a.cnn") == "wrote cnnc.lock (2 networks: 2 changed)\n"
    assert run("check", "--locked").exit_code == 0
    assert lock() == "cnnc.lock is up to date (2 networks)\n"
    told = run("check", "nets/a.cnn", "--locked", "--head", "11").stderr
    assert "`nets/a.cnn --head 11` is not in cnnc.lock" in told and "cnnc lock nets/a.cnn --head 11" in told


def test_settings_alone_are_enough_and_may_be_odd(folder: Path) -> None:
    (folder / "nets" / "a.cnn").write_text("param ws = (1, 2)\ninput 3x8x8\n[conv3-w for w in ws] -> fc-2\n")
    lock("nets/a.cnn", "-D", "ws=(3, 4)")
    assert sections(folder) == ["nets/a.cnn -D 'ws=(3, 4)'"]
    assert run("check", "--locked").exit_code == 0
    assert lock() == "cnnc.lock is up to date (1 network)\n"
    lock("zoo:lenet5", "--head", "3")
    assert sections(folder)[-1] == "zoo:lenet5 --head 3"
    assert run("check", "--locked").exit_code == 0
    (folder / "nets" / "a.cnn").unlink()
    assert "is in cnnc.lock, but there is no such file" in run("check", "zoo:lenet5", "--locked").stderr
    assert lock() == "wrote cnnc.lock (1 network: 1 gone)\n"


def test_settings_that_no_longer_fit(folder: Path) -> None:
    (folder / "nets" / "a.cnn").write_text(W)
    lock("nets/a.cnn", "--head", "fc=10")
    (folder / "nets" / "a.cnn").write_text(W.replace("fc: fc-2", "last: fc-2"))
    told = run("check", "nets", "--locked").stderr
    assert "the model has no label or layer `fc`" in told
    assert "`nets/a.cnn --head fc=10` is locked in cnnc.lock, and cannot be built any more" in told
    assert "delete its section in cnnc.lock" in run("lock").stderr
    (folder / "nets" / "a.cnn").write_text("input 3x8x8\nconv3-\n")  # an error in both is reported once
    lock_text = (folder / "cnnc.lock").read_text()
    (folder / "cnnc.lock").write_text(lock_text + lock_text.partition("\n\n")[2].replace(" --head fc=10", ""))
    assert run("check", "nets", "--locked").stderr.count("error E") == 1


def test_what_reads_as_settings_and_is_none(folder: Path) -> None:
    (folder / "nets" / "a --head 3.cnn").write_text(A)
    done = run("lock", "nets")
    assert done.exit_code == 1 and "its name has an option in it" in done.stderr
    (folder / "nets" / "a --head 3.cnn").unlink()
    lock("nets/a.cnn", "--head", "3")
    text = (folder / "cnnc.lock").read_text()
    (folder / "cnnc.lock").write_text(text.replace("--head 3", "--head x"))
    told = run("check", "nets", "--locked").stderr
    assert "`cnnc.lock` has settings that are none: --head x" in told
    assert run("lock", "--head", "3").exit_code == 2
