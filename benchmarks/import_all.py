"""Import every network of torchvision and timm, and keep what became of each in `benchmarks/imports.tsv`.

A network is imported in a process of a pool: its spec is shortened and must have the traced graph. With `--values 3`
the outputs of networks with up to so many giga multiply-adds are compared too, under live statistics.

`python -m benchmarks.import_all --seconds 600` goes on with the networks that have no record; `--again refused` takes
those with that outcome once more, `--names REGEX` only some; `--table` prints the table by family and ends.
"""

from __future__ import annotations

import argparse
import csv
import gc
import multiprocessing
import random
import re
import signal
import subprocess
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peers

RECORDS = Path(__file__).with_name("imports.tsv")
LONGEST = 300
"""Seconds that one network may take."""


@dataclass(frozen=True)
class Record:
    """What became of one network; a figure that is not known is empty."""

    name: str
    outcome: str = "crashed"
    """imported, refused (the language lacks something, which is named), crashed, wrong (outputs differ), long."""
    commit: str = ""
    kind: str = ""
    """conv: two convolutions or more, and neither attention, products of maps nor recurrence."""
    layers: str = ""
    lines: str = ""
    words: str = ""
    trace: str = ""
    """Seconds in torch.export, without the lines of the code, and in torch's counter of multiply-adds."""
    seconds: str = ""
    """From the trace to the spec."""
    apart: str = ""
    """The largest difference between the outputs, by their size; where they were compared."""
    why: str = ""


def names(which: str) -> list[str]:
    """`tv:NAME` and `timm:NAME`, all that the pattern matches."""
    models = peers.torchvision_models()
    found = [
        f"tv:{name}"
        for group in (models, models.segmentation, models.video)
        for name in models.list_models(group)
    ]
    try:
        import timm

        found += [f"timm:{name}" for name in timm.list_models()]
    except ImportError:
        print("timm is not installed: torchvision alone")
    return [name for name in found if re.search(which, name)]


def build(name: str, device: str) -> tuple[Any, tuple[int, ...]]:
    """A network with random weights, and the size of its input."""
    import torch

    library, _, short = name.partition(":")
    models = peers.torchvision_models()  # timm imports torchvision, which this makes importable
    with torch.device(device):
        if library == "timm":
            import timm

            module = timm.create_model(short, pretrained=False)
            return module, tuple(module.default_cfg.get("input_size", (3, 224, 224)))
        options: dict[str, Any] = {"weights": None}
        if short in models.list_models(models.segmentation):
            options["weights_backbone"] = None
        if short in ("googlenet", "inception_v3"):
            options["init_weights"] = False
        size: tuple[int, ...] = (3, 299, 299) if short == "inception_v3" else (3, 224, 224)
        if short in models.list_models(models.video):
            size = (3, 16, 224, 224) if short.startswith(("mvit", "swin", "s3d")) else (3, 16, 112, 112)
        return models.get_model(short, **options), size


def _on_cpu(name: str, module: Any) -> Any:
    """The network on the CPU; built anew only where it has numbers of its own, for drawing weights takes long."""
    own = {key.rpartition(".")[2] for key, _ in module.named_buffers()}
    if own <= {"running_mean", "running_var", "num_batches_tracked"}:
        return module.to_empty(device="cpu")
    return build(name, "cpu")[0]


def _kind(traced: Any) -> str:
    ops = Counter(step.op for step in traced.steps)
    products = {"scaled_dot_product_attention", "matmul", "bmm", "baddbmm", "einsum", "lstm", "gru"}
    convolutions = sum(n for op, n in ops.items() if op.startswith("conv"))
    return "conv" if convolutions >= 2 and not products & set(ops) else "other"


def one(task: tuple[str, float, str]) -> Record:
    """The record of one network."""
    from torch.fx._lazy_graph_module import _use_lazy_graph_module

    from cnnc.dsl.diagnostics import CnncError
    from cnnc.importer.importing import flat_spec
    from cnnc.importer.torch_trace import trace_with_heads, with_values

    name, values, commit = task
    record = Record(name, commit=commit)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    try:
        device = "meta"
        try:
            module, size = build(name, "meta")
        except (NotImplementedError, RuntimeError):
            device = "cpu"
            module, size = build(name, "cpu")
        start = time.perf_counter()
        with _use_lazy_graph_module(True):  # no code is written of graphs that nobody runs
            traced = trace_with_heads(module, [size], name.partition(":")[2].replace(".", "_"))
        middle = time.perf_counter()
        traced = with_values(traced, lambda: build(name, "cpu")[0])
        record = replace(record, kind=_kind(traced), trace=f"{middle - start:.1f}")
        found = flat_spec(traced)
        text = found.short()
        record = replace(
            record, outcome="imported", seconds=f"{time.perf_counter() - middle:.2f}", layers=str(len(found.graph.layers)),
            lines=str(text.count("\n")), words=str(len(text.split())),
        )  # fmt: skip
        if traced.macs is not None and traced.macs <= values * 1e9:
            from benchmarks.import_judge import difference

            live = module if device == "cpu" else _on_cpu(name, module)
            apart = difference(live, found, (size,), text=text)
            outcome = "imported" if apart <= 1e-5 else "wrong"
            record = replace(record, apart=f"{apart:.0e}", outcome=outcome)
    except CnncError as error:
        record = replace(record, outcome="refused", why=_line(str(error)))
    except TimeoutError:
        record = replace(record, outcome="long")
    except Exception as error:
        print(name, traceback.format_exc(), flush=True)
        record = replace(record, outcome="crashed", why=_line(f"{type(error).__name__}: {error}"))
    finally:
        signal.alarm(0)
    return record


def _prepared() -> None:
    """What a process of the pool has set."""
    import torch

    torch.set_num_threads(1)
    gc.set_threshold(200_000, 20, 100)  # as the command does
    torch.fx.config.do_not_emit_stack_traces = (
        True  # half of the time of an export, for lines that no record has
    )


def _too_long(*_: object) -> None:
    raise TimeoutError


def _line(why: str) -> str:
    """The operator and the reason, in one short line."""
    found = re.search(r"cannot import `([^`]+)`: ([^\n]*)", why)
    line = f"{found[1]}: {found[2]}" if found else why.strip().partition("\n")[0]
    return line.replace("\t", " ")[:70]


def records() -> dict[str, Record]:
    if not RECORDS.exists():
        return {}
    with RECORDS.open(encoding="utf8", newline="") as file:
        return {row["name"]: Record(**row) for row in csv.DictReader(file, dialect="excel-tab")}


def keep(found: dict[str, Record]) -> None:
    made = RECORDS.with_suffix(".part")
    with made.open("w", encoding="utf8", newline="") as file:
        columns = [field.name for field in fields(Record)]
        writer = csv.DictWriter(file, columns, dialect="excel-tab", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(found[name]) for name in sorted(found))
    made.replace(RECORDS)


def _size(name: str) -> int:
    """A guess from a name at how long it takes: 0 for a small network, 1, or 2 for a large one."""
    large = r"huge|giant|large|gigantic|xx?large|_[lh]_|_[lhg]\d*$|101|152|161|169|200|201|264|269|270|350|420|so\d+|_b[5-8]|_f[3-7]|384|448|512|560|640"
    small = r"test_|tiny|nano|pico|femto|atto|zepto|small|micro|lite|xx?s|mobile|mnas|squeeze|shuffle|_t\d|_n\d|10|18|14|26|_b[0-2]|00\d|0[46]0|050|075"
    return 2 if re.search(large, name) else 0 if re.search(small, name) else 1


def run(tasks: list[tuple[str, float, str]], seconds: float, processes: int) -> None:
    """Networks with names of small ones first, which gives more in a time; among those a random order."""
    found = records()
    random.Random(0).shuffle(tasks)
    tasks.sort(key=lambda task: _size(task[0]))
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _prepared, maxtasksperchild=150) as pool:
        for number, record in enumerate(pool.imap_unordered(one, tasks), 1):
            found[record.name] = record
            keep(found)
            print(f"{number} of {len(tasks)} {record.name}: {record.outcome} {record.why}", flush=True)
            if time.monotonic() > end:
                pool.terminate()
                break


def family(name: str) -> str:
    """`tv:resnet`, `timm:efficientnet`: letters up to the first digit or underscore."""
    library, _, short = name.partition(":")
    return f"{library}:{re.split(r'[_0-9]', short)[0]}"


def table() -> None:
    """By family: networks, those imported, medians over these, and what the others are refused for."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records().values():
        groups[family(record.name)].append(record)
    columns = {"layers": 8, "lines": 7, "words": 7, "trace": 7, "seconds": 9}
    heads = "".join(f"{name:>{width}}" for name, width in columns.items())
    print(f"{'family':26}{'nets':>6}{'imported':>9}{heads}  refused for")
    for name, group in sorted(groups.items()):
        done = [record for record in group if record.outcome == "imported"]
        figures = "".join(
            f"{median(float(getattr(r, key)) for r in done) if done else 0:{width}.{1 if key in ('trace', 'seconds') else 0}f}"
            for key, width in columns.items()
        )
        why = Counter(r.why.partition(":")[0] or r.outcome for r in group if r.outcome != "imported")
        told = ", ".join(f"{operator} {count}" for operator, count in why.most_common(4))
        print(f"{name:26}{len(group):6}{len(done):9}{figures}  {told}".rstrip())
    everything = [record for group in groups.values() for record in group]
    for kind in ("conv", "other"):
        counts = Counter(r.outcome for r in everything if r.kind == kind)
        print(f"{kind}: {counts.total()} networks, {dict(counts)}")
    compared = [float(r.apart) for r in everything if r.apart]
    print(
        f"{len(everything)} networks; outputs compared for {len(compared)}, worst {max(compared, default=0):.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", default="", help="a regular expression")
    parser.add_argument("--again", default="", help="a regular expression: the outcomes to take once more")
    parser.add_argument(
        "--values", type=float, default=0, help="compare outputs up to so many G multiply-adds"
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("-j", "--processes", type=int, default=2)
    parser.add_argument(
        "--commit", default="", help="what the records say they were made from; default: HEAD"
    )
    parser.add_argument("--table", action="store_true", help="print the table of the records and end")
    options = parser.parse_args()
    if not options.table:
        commit = options.commit or subprocess.getoutput("git rev-parse --short HEAD")
        done = records()
        tasks = [
            (name, options.values, commit)
            for name in names(options.names)
            if name not in done or (options.again and re.fullmatch(options.again, done[name].outcome))
        ]
        run(tasks, options.seconds, options.processes)
    table()


if __name__ == "__main__":
    main()
