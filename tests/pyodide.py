"""Tests that need no torch under Python 3.14, in Pyodide on Node: `python -m tests.pyodide [WHEEL]`.

They are those that need nothing but the package and pytest: no other process, no Graphviz, no hypothesis, which has
no wheel for Pyodide.

Needs npm, node and pip. Exit code 0 where all pass, 75 where something to run them with cannot be had (and says what).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from cnnc.page.export import PYODIDE

PURE = (
    "click", "graphviz", "iniconfig", "networkx", "packaging", "pluggy", "pygments", "pytest",
)  # fmt: skip
CHECKS = (
    "without_torch", "test_errors.py", "test_diff.py", "test_golden.py", "test_mistakes.py", "test_names.py",
    "test_op_model.py", "test_record.py", "test_shortcut.py", "test_summary.py", "test_unknown_counts.py",
)  # fmt: skip
OTHERWISE = ("unreadable-file", "used-file-loops")
"""Cases whose text is the system's own, and is another there."""
CANNOT = 75
ROOT = Path(__file__).parent.parent
RUN = """
import { loadPyodide } from './package/pyodide.mjs';
const [site, tests, ...words] = process.argv.slice(2);
const pyodide = await loadPyodide();
for (const [place, folder] of [['/site', site], ['/tests', tests]]) {
    pyodide.FS.mkdirTree(place);
    pyodide.mountNodeFS(place, folder);
}
pyodide.globals.set('words', words);
const code = await pyodide.runPythonAsync(`
import os, sys
sys.path.insert(0, '/site')
sys.dont_write_bytecode = True
os.chdir('/tmp')
print('Python', sys.version.split()[0], 'on', sys.platform)
import pytest
without = [word for name in ('cacheprovider', 'faulthandler', 'unraisableexception') for word in ('-p', 'no:' + name)]
int(pytest.main(['-q', '-c', '/dev/null', '--rootdir', '/tests', *without, *words]))
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
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told = (error.stderr or "")[-500:]
            print(f"Python 3.14 is not tried: {' '.join(map(str, error.cmd[:4]))} failed\n{told}")
            return CANNOT
        (folder / "run.mjs").write_text(RUN)
        words = [f"/tests/{name}" for name in CHECKS]
        words += [word for name in OTHERWISE for word in ("--deselect", f"test_errors.py::test_case[{name}]")]
        command = ["node", folder / "run.mjs", folder / "site", ROOT / "tests", *words]
        return subprocess.run(command, check=False).returncode


def _fetch(folder: Path, wheel: Path | None) -> None:
    def run(*command: str | Path) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)

    run("npm", "pack", "--silent", f"pyodide@{PYODIDE}")
    with tarfile.open(folder / f"pyodide-{PYODIDE}.tgz") as archive:
        archive.extractall(folder, filter="data")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    known = ["--no-deps", "-c", str(ROOT / "constraints.txt")]
    run(*pip, "download", "--quiet", "-d", "wheels", *known, *PURE)
    if wheel is None:
        run(*pip, "wheel", "--quiet", "--no-deps", "-w", "wheels", ROOT)
    for one in [*sorted((folder / "wheels").glob("*.whl")), *([wheel] if wheel else [])]:
        with zipfile.ZipFile(one) as packed:
            packed.extractall(folder / "site")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None))
