"""Import every network of torchvision and timm, each in a process of a pool, and print a table by family.

`python -m benchmarks.import_all --seconds 600` goes on where the last run ended (its records are lines of JSON);
`--values 5` also compares outputs, of networks with up to so many million parameters; `--table` prints alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import peers

RECORDS = Path("import_all.jsonl")


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
            size = (3, 16, 224, 224) if short.startswith(("mvit", "swin")) else (3, 16, 112, 112)
        return models.get_model(short, **options), size


def one(task: tuple[str, float]) -> dict[str, Any]:
    """The record of one network."""
    from cnnc.dsl.diagnostics import CnncError
    from cnnc.importer.importing import flat_spec
    from cnnc.importer.torch_trace import trace_with_heads

    name, values = task
    record: dict[str, Any] = {"name": name}
    try:
        device = "meta"
        try:
            module, size = build(name, "meta")
        except (NotImplementedError, RuntimeError):
            device = "cpu"
            module, size = build(name, "cpu")
        start = time.perf_counter()
        traced = trace_with_heads(module, [size], name.partition(":")[2].replace(".", "_"))
        middle = time.perf_counter()
        found = flat_spec(traced)
        record |= {
            "status": "ok", "trace": round(middle - start, 2), "import": round(time.perf_counter() - middle, 2),
            "layers": len(found.graph.layers), "renamed": len(found.names), "unused": len(found.unused),
            "lines": found.text.count("\n"), "words": len(found.text.split()),
        }  # fmt: skip
        if sum(p.numel() for p in module.parameters()) <= values * 1e6:
            from benchmarks.import_judge import difference

            live = module if device == "cpu" else build(name, "cpu")[0]
            record["difference"] = difference(live, found, (size,))
    except CnncError as error:
        record |= {"status": "refused", "why": str(error)[:400]}
    except Exception:
        record |= {"status": "crashed", "why": traceback.format_exc()[-1500:]}
    return record


def records() -> Iterator[dict[str, Any]]:
    if RECORDS.exists():
        for line in RECORDS.read_text(encoding="utf8").splitlines():
            yield json.loads(line)


def run(which: str, values: float, seconds: float, processes: int) -> None:
    done = {record["name"] for record in records()}
    tasks = [(name, values) for name in names(which) if name not in done]
    random.Random(0).shuffle(tasks)  # so that a run that stops early is a fair sample
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=40) as pool, RECORDS.open("a", encoding="utf8") as file:
        for number, record in enumerate(pool.imap_unordered(one, tasks), 1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{number} of {len(tasks)} {record['name']}: {record['status']}", flush=True)
            if time.monotonic() > end:
                pool.terminate()
                break


def family(name: str) -> str:
    """`tv:resnet`, `timm:efficientnet`: letters up to the first digit or underscore."""
    library, _, short = name.partition(":")
    return f"{library}:{re.split(r'[_0-9]', short)[0]}"


def table() -> None:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records():
        rows[family(record["name"])].append(record)
    print(
        f"{'family':28}{'nets':>6}{'ok':>5}{'lines':>7}{'words':>7}{'trace s':>9}{'import s':>9}  refused for"
    )
    for name, group in sorted(rows.items()):
        ok = [r for r in group if r["status"] == "ok"]
        why = Counter(_operator(r.get("why", "")) for r in group if r["status"] != "ok")
        mean = {
            key: sum(r[key] for r in ok) / len(ok) if ok else 0
            for key in ("lines", "words", "trace", "import")
        }
        told = ", ".join(f"{operator} {count}" for operator, count in why.most_common(3))
        print(
            f"{name:28}{len(group):6}{len(ok):5}{mean['lines']:7.0f}{mean['words']:7.0f}{mean['trace']:9.2f}{mean['import']:9.2f}  {told}"
        )
    everything = [r for group in rows.values() for r in group]
    compared = [r["difference"] for r in everything if "difference" in r]
    counts = Counter(r["status"] for r in everything)
    print(
        f"{len(everything)} networks: {dict(counts)}; outputs compared for {len(compared)}, worst {max(compared, default=0):.1e}"
    )


def _operator(why: str) -> str:
    found = re.search(r"cannot import `([^`]+)`: ([^\n]{0,40})", why)
    return f"{found[1]} ({found[2]})" if found else why.strip().rpartition("\n")[2][:60]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default="", help="a regular expression")
    parser.add_argument(
        "--values", type=float, default=0, help="compare outputs up to so many million parameters"
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("-j", "--processes", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of the records and end")
    options = parser.parse_args()
    if not options.table:
        run(options.names, options.values, options.seconds, options.processes)
    table()


if __name__ == "__main__":
    main()
