"""Growth with the number of layers: parse, elaborate and analyse chains and dense blocks up to 100,000 layers.

Layers are written out (those of the dense block two by two), so that reading the text counts too.
Each run is a process of its own; figures are CPU microseconds and peak memory above that of an empty run.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time

SIZES = (1_000, 10_000, 100_000)
MOST = 1.5
"""What a layer may take at the largest size, over what it takes at the smallest."""

TEXTS = {
    "chain": ("input 8x16x16\n", "conv3-8 -> relu\n", 2),
    "dense block": ("input 8x8x8\ndefault conv(act=none)\n", "[id | conv1-1]*2\n", 4),
    "repeated": ("input 8x16x16\n", None, 2),
}


def spec(kind: str, layers: int) -> str:
    """A network of so many layers."""
    head, line, each = TEXTS[kind]
    if line is None:
        return f"{head}[conv3-8 -> bn]*{layers // each}\n"
    return head + line * (layers // each)


def once(kind: str, layers: int) -> None:
    """Print the CPU seconds and the peak memory in KiB of one network, in this process."""
    gc.set_threshold(200_000, 20, 100)  # as the command line has it
    import cnnc
    from cnnc.compiler.summary import summarise

    text = spec(kind, layers)
    warm = cnnc.parse(spec(kind, 20))  # what is imported and built once is no layer's
    summarise(warm.graph)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    net = cnnc.parse(text, max_layers=2 * layers)
    summary = summarise(net.graph)
    seconds = time.process_time() - begin
    assert len(summary.layers) == layers, len(summary.layers)
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def measure(kind: str, layers: int, rounds: int) -> tuple[float, float]:
    """Microseconds and KiB a layer: the least of some rounds."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "benchmarks.growth", kind, str(layers)]
        seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        found.append((float(seconds) / layers * 1e6, int(memory) / layers))
    return min(found)


def main() -> None:
    titles = "".join(f"{n:>18,}" for n in SIZES)
    print(f"{'growth, a layer':<16}{titles}   ratio")
    for kind in TEXTS:
        row = [measure(kind, n, rounds=5 if n < 100_000 else 2) for n in SIZES]
        ratio = row[-1][0] / row[0][0]
        cells = "".join(f"{us:>8.1f} us {kib:>4.1f} KiB" for us, kib in row)
        print(f"{kind:<16}{cells}   {ratio:.2f}{'' if ratio <= MOST else f'  (more than {MOST})'}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        once(sys.argv[1], int(sys.argv[2]))
    else:
        main()
