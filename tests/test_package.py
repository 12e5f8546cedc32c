"""The package: one version, everything in it, and it runs from a zip and from a plain tree without links."""

from __future__ import annotations

import ast
import fnmatch
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from cnnc.dsl.version import VERSION

ROOT = Path(__file__).parent.parent
COMMAND = "import sys; from cnnc.cli import main; main()"


def shipped() -> list[Path]:
    """The files of the package, those that tools leave behind aside."""
    return [
        path for path in sorted((ROOT / "cnnc").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        and path.suffix != ".pyc" and "_cache" not in str(path)
    ]  # fmt: skip


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "cnnc.dsl.version.VERSION"
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"\nversion: {VERSION}\n" in cited
    assert VERSION in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")


def test_every_file_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    patterns = project["tool"]["setuptools"]["package-data"]["cnnc"]
    for path in shipped():
        name = path.relative_to(ROOT / "cnnc").as_posix()
        if path.suffix == ".py" or path.name == "ruff.toml":  # the linter's own
            continue
        assert any(fnmatch.fnmatch(name, pattern.replace("**/", "*")) for pattern in patterns), name


def test_the_links_of_the_sdist_are_those_at_the_top() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf8"))
    (links,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "LINKS"]  # type: ignore[attr-defined]
    assert {path.name for path in ROOT.iterdir() if path.is_symlink()} <= set(ast.literal_eval(links))


def compiled(path: Path, folder: Path) -> str:
    """What `cnnc compile zoo:resnet18` prints with the package at this path of Python's."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    where = "import cnnc, sys; print(cnnc.__file__, file=sys.stderr); " + COMMAND
    done = subprocess.run(
        [sys.executable, "-c", where, "compile", "zoo:resnet18", "--features", "layer4", "-o", "-"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stderr
    return done.stdout


def test_runs_from_a_zip_and_vendored(tmp_path: Path) -> None:
    """Both give what the checkout gives; a vendored folder is the package alone, without links or metadata."""
    packed, vendored = tmp_path / "cnnc.zip", tmp_path / "vendor"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in shipped():
            archive.write(path, path.relative_to(ROOT))
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(vendored)
    wanted = compiled(ROOT, tmp_path)
    assert "class Resnet18Output" in wanted
    assert compiled(packed, tmp_path) == compiled(vendored, tmp_path) == wanted


@pytest.mark.slow
def test_sdist_without_links_gives_the_same_wheel(tmp_path: Path) -> None:
    """As it is built, unpacked without links, and with files in their place as Git leaves them on Windows."""
    import tarfile

    pytest.importorskip("build", reason="build is not installed")
    build = [sys.executable, "-m", "build", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=600)
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    wanted = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        links = {member.name.partition("/")[2]: member.linkname for member in archive if member.issym()}
        assert links == {name: f"cnnc/{name}" for name in ("backends", "compiler", "dsl", "specs")}
        files = [member for member in archive if not member.issym()]
        archive.extractall(tmp_path / "plain", members=files, filter="data")
    (tree,) = (tmp_path / "plain").iterdir()
    for put_files in (False, True):
        for name, target in links.items() if put_files else ():
            (tree / name).write_text(target)
        out = tmp_path / f"wheel{put_files}"
        subprocess.run(
            [*build[:3], "--wheel", "--outdir", str(out), str(tree)],
            check=True,
            capture_output=True,
            timeout=600,
        )
        (found,) = out.glob("*.whl")
        assert sorted(zipfile.ZipFile(found).namelist()) == sorted(wanted)
