"""The tests that need no torch under Python 3.14, in Pyodide on Node: `python -m tests.pyodide [WHEEL]`.

Needs npm and node, and pip that finds wheels of pydantic_core for Pyodide. Exit code 0 where all pass, 75 where
something to run them with cannot be had (and says what).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "314.0.7"
"""Of npm's `pyodide`: Python 3.14."""
PLATFORM = "pyemscripten_2026_0_wasm32"
PURE = (
    "annotated-types", "click", "graphviz", "iniconfig", "networkx", "packaging", "pluggy", "pydantic", "pygments",
    "pytest", "typing-inspection", "typing_extensions",
)  # fmt: skip
CANNOT = 75
ROOT = Path(__file__).parent.parent
RUN = """
import { loadPyodide } from './package/pyodide.mjs';
const [site, checks] = process.argv.slice(2);
const pyodide = await loadPyodide();
for (const [place, folder] of [['/site', site], ['/checks', checks]]) {
    pyodide.FS.mkdirTree(place);
    pyodide.mountNodeFS(place, folder);
}
const code = await pyodide.runPythonAsync(`
import os, sys
sys.path.insert(0, '/site')
sys.dont_write_bytecode = True
os.chdir('/tmp')
print('Python', sys.version.split()[0], 'on', sys.platform)
import pytest
int(pytest.main(['-q', '-c', '/dev/null', '--rootdir', '/tmp', '-p', 'no:cacheprovider', '-p', 'no:faulthandler', '/checks']))
`);
process.exit(code);
"""


def main(wheel: Path | None) -> int:
    """Fetch what is needed into a folder of its own, and run the tests there."""
    for program in ("npm", "node"):
        if shutil.which(program) is None:
            print(f"Python 3.14 is not tried: there is no {program}")
            return CANNOT
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            _fetch(folder, wheel)
        except subprocess.CalledProcessError as error:
            print(
                f"Python 3.14 is not tried: {' '.join(map(str, error.cmd[:4]))} failed\n{error.stderr[-500:]}"
            )
            return CANNOT
        (folder / "run.mjs").write_text(RUN)
        checks = ROOT / "tests" / "without_torch"
        return subprocess.run(["node", folder / "run.mjs", folder / "site", checks], check=False).returncode


def _fetch(folder: Path, wheel: Path | None) -> None:
    def run(*command: str | Path) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)

    run("npm", "pack", "--silent", f"pyodide@{VERSION}")
    with tarfile.open(folder / f"pyodide-{VERSION}.tgz") as archive:
        archive.extractall(folder, filter="data")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    known = ["--no-deps", "-c", str(ROOT / "constraints.txt")]
    binary = ["--only-binary=:all:", "--platform", PLATFORM, "--python-version", "314", "--abi", "cp314"]
    run(
        *pip,
        "download",
        "--quiet",
        "-d",
        "wheels",
        *known,
        *binary,
        "--implementation",
        "cp",
        "pydantic_core",
    )
    run(*pip, "download", "--quiet", "-d", "wheels", *known, *PURE)
    if wheel is None:
        run(*pip, "wheel", "--quiet", "--no-deps", "-w", "wheels", ROOT)
    for one in [*sorted((folder / "wheels").glob("*.whl")), *([wheel] if wheel else [])]:
        with zipfile.ZipFile(one) as packed:
            packed.extractall(folder / "site")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None))
