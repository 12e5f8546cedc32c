"""What an editor waits for: `python -m benchmarks.keystrokes` types into specs through `cnnc lsp` and takes the time.

python -m benchmarks.keystrokes                          # start, and a keystroke in every spec of the zoo
python -m benchmarks.keystrokes --edits 10000 --specs 20 # random edits: no crash, no stale figure, no growing memory
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cnnc
from tests.lsp_client import Client

SPECS = Path(cnnc.__file__).parent / "specs"
LARGEST = 1_100
"""Nodes: those of NASNet-A large, up to which a keystroke has to be quick."""


def starts(times: int = 7) -> list[float]:
    """Seconds from the start of the process to the answer to `initialize`."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            client = Client(Path(folder))
            found.append(client.initialized_in)
            client.close()
    return found


def opened(client: Client, path: Path) -> tuple[str, str]:
    """A spec's text, opened beside the files that it uses."""
    text = path.read_text(encoding="utf8")
    for folder in ("blocks",):
        link = client.folder / folder
        if not link.exists():
            link.symlink_to(path.parent / folder)
    return text, client.open(text, path.name)


def keystrokes(text: str, seed: int, lines: int) -> Iterator[str]:
    """The texts that come of some lines being written anew, a character at a time."""
    draw = random.Random(seed)
    rows = text.split("\n")
    places = [i for i, row in enumerate(rows) if row.strip() and not row.startswith("#")]
    for i in draw.sample(places, min(lines, len(places))):
        row = rows[i]
        start = draw.randrange(len(row))
        for end in range(start, min(start + 15, len(row)) + 1):
            yield "\n".join([*rows[:i], row[:end], *rows[i + 1 :]])
        yield text


def busy(client: Client) -> float:
    """The seconds of processor time that the server took so far."""
    words = Path(f"/proc/{client.process.pid}/stat").read_text(encoding="utf8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def typed(client: Client, path: Path, lines: int = 2) -> list[float]:
    """Seconds from each keystroke to the diagnostics and the inlays of its text."""
    text, uri = opened(client, path)
    client.inlays(uri)
    found = []
    for after in keystrokes(text, 1, lines):
        begun = time.perf_counter()
        client.change(uri, {"text": after})
        client.inlays(uri)
        found.append(time.perf_counter() - begun)
        assert client.notices[-1]["params"]["version"] == client.versions[uri]
        client.notices.clear()
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return found


def resident(client: Client) -> int:
    """The server's memory in KiB."""
    status = Path(f"/proc/{client.process.pid}/status").read_text(encoding="utf8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def random_edits(count: int, specs: int, seed: int) -> None:
    """Edits at random, each 50th answered figure held against a fresh analysis. Raises AssertionError."""
    from cnnc.dsl.source import Source
    from cnnc.live.engine import analyse
    from cnnc.live.figures import inlay

    draw = random.Random(seed)
    paths = sorted(SPECS.glob("*.cnn"))
    paths = [path for path in draw.sample(paths, len(paths)) if path.stat().st_size < 3_000][:specs]
    pieces = [word for path in paths for word in path.read_text(encoding="utf8").split()]
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder))
        memory: list[int] = []
        for n, path in enumerate(paths):
            original, uri = opened(client, path)
            text = original
            for k in range(count // len(paths)):
                if k % 40 == 39:
                    text = original
                start = draw.randrange(len(text) + 1)
                end = min(len(text), start + draw.choice([0, 0, 1, 3, 10]))
                text = (
                    text[:start]
                    + draw.choice(["", "", draw.choice(pieces), draw.choice("()[]{}->|+*:=,#\n 0123")])
                    + text[end:]
                )
                client.change(uri, {"text": text})
                if draw.random() < 0.3:
                    continue
                shown = client.inlays(uri)
                now = analyse(Source(str(client.folder / path.name), text))
                if now.is_good:
                    assert shown == {line.number - 1: inlay(now, line) for line in now.lines}, (path, text)
                else:
                    rows = text.split("\n")
                    assert all(0 <= line < len(rows) and rows[line].strip() for line in shown), (path, text)
                client.notices.clear()
            client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
            client.inlays(client.open("conv3-8", "last.cnn"))
            memory.append(resident(client))
            print(f"{n + 1:3} {path.stem:28} {memory[-1] / 1024:.0f} MiB", flush=True)
        assert client.close() == 0
        print(
            f"{count:,} edits on {len(paths)} specs: no crash, no stale figure; memory {memory[len(memory) // 4] / 1024:.0f} -> {memory[-1] / 1024:.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=0)
    parser.add_argument("--specs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.edits:
        random_edits(given.edits, given.specs or 20, given.seed)
        return
    print(f"initialize: {1000 * statistics.median(starts()):.0f} ms (median of 7)")
    every: list[float] = []
    processor: list[float] = []
    """Of one keystroke, by spec: what the machine's other work does not change."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder))
        paths = sorted(SPECS.glob("*.cnn"))
        for path in paths[:: max(1, len(paths) // given.specs)] if given.specs else paths:
            if len(cnnc.load(path).graph.nodes) > LARGEST:
                continue
            before = busy(client)
            found = sorted(typed(client, path))
            processor.append((busy(client) - before) / len(found))
            every += found
            print(
                f"{path.stem:32} median {1000 * statistics.median(found):5.0f}  p95 {1000 * found[int(0.95 * len(found))]:5.0f} ms, processor {1000 * processor[-1]:4.0f}",
                flush=True,
            )
        client.close()
    every.sort()
    print(
        f"{len(every)} keystrokes: median {1000 * statistics.median(every):.0f}, p95 {1000 * every[int(0.95 * len(every))]:.0f}, worst {1000 * every[-1]:.0f} ms"
    )
    print(
        f"processor time of a keystroke: {1000 * statistics.mean(processor):.0f} ms, "
        f"{1000 * max(processor):.0f} in the slowest spec"
    )


if __name__ == "__main__":
    main()
