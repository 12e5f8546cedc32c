"""The same targets under atheris, which keeps the inputs that reach new code and mutates them further.

Needs `pip install atheris` (Linux and macOS). Its own changes of bytes alternate with the changes of `mutate`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

MAX_LENGTH = 4_096


def fuzz(target: str, inputs: int, seed: int, save: Path | None) -> int:
    """Try so many inputs. Atheris ends the process itself: with an error at the first finding, which it writes to `save`."""
    import atheris

    with atheris.instrument_imports(include=["cnnc"]):
        from .corpus import mistakes, specs
        from .mutate import changed
        from .targets import TARGETS

    folder = Path(tempfile.mkdtemp(prefix="cnnc-fuzz-"))
    for i, text in enumerate((*specs(), *mistakes())):
        (folder / str(i)).write_text(text, encoding="utf8", errors="replace")

    def try_one(data: bytes) -> None:
        TARGETS[target](data.decode("utf8", errors="replace"))

    def mutate(data: bytes, size: int, number: int) -> Any:
        rng = Random(number)
        if rng.random() < 0.3:
            return atheris.Mutate(data, size)
        return changed(data.decode("utf8", errors="replace"), rng).encode()[:size]

    options = [
        f"-runs={inputs}",
        f"-seed={seed or 1}",
        "-timeout=2",
        "-rss_limit_mb=512",
        f"-max_len={MAX_LENGTH}",
    ]
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        options.append(f"-artifact_prefix={save}/")
    atheris.Setup([sys.argv[0], *options, str(folder)], try_one, custom_mutator=mutate)
    atheris.Fuzz()
    return 0
