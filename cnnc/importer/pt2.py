"""A `.pt2` file to a trace: its JSON and raw tensors alone. Nothing is unpickled, and torch is not needed.

`torch.export.load` is never called: it falls back to unpickling the sample inputs, and a pickle can run code.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.importer.stack import line_of
from cnnc.importer.traced import Held, Ref, Shape, Step, Traced, Where

_JSON_LIMIT = 500_000_000
"""Bytes of a program; the largest networks have some ten million."""
_MOST_VALUES = 1 << 16
_FORMATS = {4: "i", 5: "q", 7: "f", 8: "d"}
"""struct's letters of the dtypes whose numbers are read: int32, int64, float32, float64."""


def read_pt2(path: Path) -> Traced:
    """The program in a file of `torch.export.save`. Raises CnncError (E701) where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, path).traced()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        RecursionError,
        EOFError,
    ) as error:
        what = "torch.export.save did not write it, or it is damaged"
        raise _unreadable(path, f"{what} ({type(error).__name__})") from None


def _unreadable(path: Path, why: str) -> CnncError:
    return fail("E701", f"`{path}` cannot be read: {why}")


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        self.names = {name.partition("/")[2]: name for name in archive.namelist()}
        models = [name for name in self.names if name.startswith("models/") and name.endswith(".json")]
        if len(models) != 1:
            raise _unreadable(path, f"it contains {len(models)} programs; expected one")
        program = self.json(models[0])
        self.version = str(program.get("torch_version", "")).partition("+")[0]
        self.module = program["graph_module"]
        self.graph = self.module["graph"]
        self.values = self.graph["tensor_values"]

    def json(self, name: str) -> Any:
        info = self.archive.getinfo(self.names[name])
        if info.file_size > _JSON_LIMIT:
            raise _unreadable(self.path, f"`{name}` has {info.file_size:,} bytes")
        return json.loads(self.archive.read(info))

    def traced(self) -> Traced:
        weights = self.config("weights", "model_weights_config.json")
        state = {key: _sizes(entry["tensor_meta"]) for key, entry in weights.items()}
        held, inputs = self.held()
        outputs = [
            _name(spec["user_output"]["arg"])
            for spec in self.module["signature"]["output_specs"]
            if "user_output" in spec
        ]
        kept = [name for name in outputs if name is not None]
        steps = tuple(step for node in self.graph["nodes"] for step in self.steps(node))
        return Traced(
            name=self.path.stem, inputs=inputs, held=held, steps=steps, outputs=_named(kept),
            batch=next(iter(inputs.values()))[0], state=state,
            learnt=frozenset(key for key, entry in weights.items() if entry.get("is_param")),
            classes=self.classes(), tied=_tied(weights), origin=f"imported from {self.path.name}, exported by torch {self.version}",
        )  # fmt: skip

    def classes(self) -> dict[str, str]:
        """The class of every module in which an operator is."""
        stacks = {node["metadata"].get("nn_module_stack", "") for node in self.graph["nodes"]}
        entries = (entry.split(",", 2) for stack in sorted(stacks) for entry in stack.split(";"))
        return {e[1]: e[2].rpartition(".")[2] for e in entries if len(e) == 3 and e[1]}

    def config(self, folder: str, name: str) -> Mapping[str, Any]:
        full = f"data/{folder}/{name}"
        found: Mapping[str, Any] = self.json(full)["config"] if full in self.names else {}
        return found

    def held(self) -> tuple[dict[str, Held], dict[str, Shape]]:
        constants = self.config("constants", "model_constants_config.json")
        held: dict[str, Held] = {}
        inputs: dict[str, Shape] = {}
        for spec in self.module["signature"]["input_specs"]:
            ((kind, what),) = spec.items()
            name = _name(what["arg"])
            if name is None or name not in self.values:
                continue
            shape = _sizes(self.values[name])
            if kind == "user_input":
                inputs[name] = shape
            elif kind == "parameter":
                held[name] = Held(name, "parameter", what["parameter_name"], shape)
            elif kind == "buffer":
                key, kept = what["buffer_name"], bool(what["persistent"])
                held[name] = Held(
                    name, "buffer", key, shape, kept, None if kept else self.numbers(constants.get(key))
                )
            elif kind == "tensor_constant":
                key = what["tensor_constant_name"]
                held[name] = Held(name, "constant", key, shape, False, self.numbers(constants.get(key)))
        if not inputs:
            raise _unreadable(self.path, "its program has no input")
        return held, inputs

    def numbers(self, entry: Any) -> tuple[float, ...] | None:
        """The values of a constant, where they are few and plain."""
        if entry is None or entry.get("use_pickle"):
            return None
        meta = entry["tensor_meta"]
        letter, count = _FORMATS.get(meta["dtype"]), prod(_sizes(meta))
        name = f"data/constants/{entry['path_name']}"
        if letter is None or count > _MOST_VALUES or name not in self.names:
            return None
        raw = self.archive.read(self.names[name])
        size = struct.calcsize(f"<{letter}")
        start = int(meta["storage_offset"]["as_int"]) * size
        return tuple(float(x) for x in struct.unpack_from(f"<{count}{letter}", raw, start))

    def steps(self, node: Mapping[str, Any]) -> Iterator[Step]:
        """The step of a node, and one for each of its results where it has several."""
        target = str(node["target"])
        if not target.startswith("torch.ops.aten."):
            op, in_place = target.rpartition(".")[2], False
        else:
            op = target.removeprefix("torch.ops.aten.").partition(".")[0]
            in_place = op.endswith("_") and not op.endswith("__")
            op = op.rstrip("_") if in_place else op
        args = {a["name"]: _argument(a["arg"]) for a in node["inputs"]}
        where = _where(node["metadata"])
        results: list[str | None] = []
        several = False
        for output in node["outputs"]:
            ((kind, what),) = output.items()
            several = several or kind == "as_tensors"
            results += [t.get("name") for t in what] if kind == "as_tensors" else [_name(output)]
        several = several or len(results) > 1
        shapes = tuple(_sizes(self.values[r]) if r in self.values else None for r in results)
        name = str(node.get("name") or op) if several else str(results[0]) if results and results[0] else ""
        name = f"{name}#{results[0]}" if several else name
        yield Step(name, op, args, shapes or (None,), where, in_place)
        if several:
            for i, (result, shape) in enumerate(zip(results, shapes, strict=True)):
                if result is not None:
                    yield Step(result, "getitem", {"x": Ref(name), "index": i}, (shape,), where)


def _tied(weights: Mapping[str, Any]) -> dict[str, str]:
    first: dict[str, str] = {}
    return {
        key: first[entry["path_name"]]
        for key, entry in weights.items()
        if first.setdefault(entry["path_name"], key) != key
    }


def _named(names: list[str]) -> dict[str, Ref]:
    if len(names) == 1:
        return {"output": Ref(names[0])}
    return {f"output{i}": Ref(name) for i, name in enumerate(names)}


def _name(argument: Mapping[str, Any]) -> str | None:
    found = argument.get("as_tensor", argument)
    return str(found["name"]) if isinstance(found, Mapping) and "name" in found else None


def _sizes(meta: Mapping[str, Any]) -> Shape:
    return tuple(_size(size) for size in meta["sizes"])


def _size(size: Mapping[str, Any]) -> int:
    """A size; of a free one, that of the example it was exported with."""
    if "as_int" in size:
        return int(size["as_int"])
    return int(size["as_expr"]["hint"]["as_int"])


def _argument(argument: Mapping[str, Any]) -> Any:
    ((kind, what),) = argument.items()
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return Ref(what["name"])
    if kind in ("as_tensors", "as_nested_tensors"):
        return [Ref(t["name"]) for t in what]
    if kind == "as_optional_tensors":
        return [_argument(t) for t in what]
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return what.get("as_int", what.get("as_bool", what.get("as_float", what.get("as_name"))))
    if kind == "as_sym_ints":
        return [x.get("as_int", x.get("as_name")) for x in what]
    return (
        str(what)
        if kind in ("as_device", "as_layout")
        else _DTYPES.get(what, what)
        if kind == "as_scalar_type"
        else what
    )


_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool", 13: "bfloat16"}  # fmt: skip


def _where(metadata: Mapping[str, str]) -> Where:
    stack = [
        entry.split(",", 2)
        for entry in metadata.get("nn_module_stack", "").split(";")
        if entry.count(",") >= 2
    ]
    line = line_of(metadata.get("stack_trace", ""))
    if not stack:
        return Where(line=line)
    key, path, kind = stack[-1]
    call = key.partition("@")[2]
    return Where(path, kind.rpartition(".")[2], int(call) if call.isdigit() else 0, line)
