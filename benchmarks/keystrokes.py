"""What an editor waits for: `python -m benchmarks.keystrokes` types into specs through `cnnc lsp` and takes the time.

python -m benchmarks.keystrokes                          # start, and a keystroke in every spec of the zoo
python -m benchmarks.keystrokes --edits 10000 --specs 20 # random edits: no crash, no stale figure, no growing memory
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cnnc
from tests.lsp_client import Client

SPECS = Path(cnnc.__file__).parent / "specs"
LARGEST = 1_100
"""Nodes: those of NASNet-A large, up to which a keystroke has to be quick."""
WANTED = 0.06
"""Seconds in which 19 of 20 keystrokes are to be answered."""


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
    return int(Path(f"/proc/{client.process.pid}/schedstat").read_text(encoding="utf8").split()[0]) / 1e9


def typed(client: Client, path: Path, lines: int = 2) -> list[tuple[float, float]]:
    """Seconds from each keystroke to the diagnostics and the inlays of its text, and of those the processor's,
    which the machine's other work changes less."""
    text, uri = opened(client, path)
    client.inlays(uri)
    found = []
    for after in keystrokes(text, 1, lines):
        before, begun = busy(client), time.perf_counter()
        client.change(uri, {"text": after})
        client.inlays(uri)
        found.append((time.perf_counter() - begun, busy(client) - before))
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
    every: list[tuple[float, float]] = []
    slow = []
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder))
        paths = sorted(SPECS.glob("*.cnn"))
        for path in paths[:: max(1, len(paths) // given.specs)] if given.specs else paths:
            if len(cnnc.load(path).graph.nodes) > LARGEST:
                continue
            found = typed(client, path)
            every += found
            print(f"{path.stem:32} {told(found)}", flush=True)
            if p95([processor for _, processor in found]) > WANTED:
                slow.append(path.stem)
        client.close()
    print(f"{len(every)} keystrokes: {told(every)}")
    print(f"p95 above {1000 * WANTED:.0f} ms of the processor: {', '.join(slow) or 'none'}")


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


def told(found: Sequence[tuple[float, float]]) -> str:
    """Median, p95 and worst of what was waited, and of the processor's part."""
    return "; ".join(
        f"{what} median {1000 * statistics.median(part):5.1f}, p95 {1000 * p95(part):5.1f}, worst {1000 * max(part):5.1f} ms"
        for what, part in zip(("waited", "processor"), zip(*found, strict=True), strict=True)
    )


if __name__ == "__main__":
    main()
