"""Files of weights: read with care, written under other names.

`.safetensors` is an 8-byte length, a JSON header and the tensors' bytes, and is read
and renamed without torch. Anything else is PyTorch's own format and is read by torch
with `weights_only=True`, which refuses pickles that hold more than tensors.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from cnnc.backends.pytorch.weights import with_axis
from cnnc.compiler.ops import Shape
from cnnc.dsl.diagnostics import CnncError, fail

SUFFIX = ".safetensors"
_HEADER_LIMIT = 100_000_000
"""Bytes; the format's own bound on its header."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the state dict beside other things."""


def read_shapes(path: Path) -> dict[str, Shape]:
    """The names and shapes of a file's tensors, in its order.

    Raises CnncError: E701 where the file cannot be read or is not what it seems, E802
    where torch is needed and missing.
    """
    if path.suffix == SUFFIX:
        return {name: tuple(entry["shape"]) for name, entry in _header(path)[0].items()}
    return {name: tuple(tensor.shape) for name, tensor in read_state(path).items()}


def read_state(path: Path) -> dict[str, Any]:
    """The state dict in a file of PyTorch's; the tensors are on the CPU. Raises as `read_shapes`."""
    try:
        import torch
    except ImportError:
        hint = "pip install torch, or give a .safetensors file, which needs none"
        raise fail("E802", f"reading `{path}` needs torch, which is not installed", hint=hint) from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error) or "weights_only" in str(error).lower():
            hint = "save the state dict alone: torch.save(model.state_dict(), FILE)"
            message = f"`{path}` is refused: it contains more than tensors, and reading it could run code"
            raise fail("E701", message, hint=hint) from None
        raise _unreadable(path, "it is not a PyTorch file") from None
    except Exception:  # torch has no error of its own for a file that is cut off or is something else
        raise _unreadable(path, "it is not a PyTorch file, or it is damaged") from None
    return _state_in(loaded, path)


def read_tensors(path: Path) -> dict[str, Any]:
    """The state dict in a file of either format, as torch's tensors on the CPU. Raises as `read_shapes`."""
    if path.suffix != SUFFIX:
        return read_state(path)
    try:
        import torch
    except ImportError:
        raise fail("E802", f"reading `{path}` needs torch, which is not installed", hint=_INSTALL) from None
    entries, _, start = _header(path)
    data = bytearray(path.read_bytes())
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        if entry["dtype"] not in _TYPES:
            raise _unreadable(path, f"`{name}` is of the type {entry['dtype']}")
        dtype = getattr(torch, _TYPES[entry["dtype"]])
        begin, end = entry["data_offsets"]
        part = data[start + begin : start + end]
        flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
        found[name] = flat.reshape(entry["shape"])
    return found


_INSTALL = "pip install torch"
_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""The types of .safetensors by torch's names."""


def _state_in(loaded: object, path: Path) -> dict[str, Any]:
    import torch

    if isinstance(loaded, Mapping):
        for key in _WRAPPERS:
            if isinstance(loaded.get(key), Mapping):
                return _state_in(loaded[key], path)
        if loaded and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()):
            return dict(loaded)
    hint = "torch.save(model.state_dict(), FILE) writes one"
    raise fail("E701", f"`{path}` has no state dict; expected names with tensors", hint=hint)


def _header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """The entries of a .safetensors file, its metadata, and where its bytes begin."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER_LIMIT):
                raise _unreadable(path, "it is not a .safetensors file, or it is cut off")
            header = json.loads(file.read(length))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError):
        raise _unreadable(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _unreadable(path, "its header is not an object")
    metadata = header.pop("__metadata__", {})
    for name, entry in header.items():
        if not _is_entry(entry, size - 8 - length):
            raise _unreadable(path, f"its header is wrong at `{name}`")
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _unreadable(path, "its metadata is not a table of texts")
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, after = entry["data_offsets"]
        if begin != end:
            raise _unreadable(path, f"the bytes of `{name}` overlap others, or leave a gap before them")
        end = after
    if end != size - 8 - length:
        raise _unreadable(path, "it has bytes that belong to no tensor")
    return header, metadata, 8 + length


_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
"""Of one value, by the types that the format's library knows."""


def _is_entry(entry: object, size: int) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    if not all(type(n) is int and n >= 0 for n in [*shape, *offsets]):
        return False
    bits = _BITS.get(entry["dtype"])
    if bits is None:
        return False
    return bool(offsets[0] <= offsets[1] <= size and 8 * (offsets[1] - offsets[0]) == bits * prod(shape))


def write_renamed(source: Path, target: Path, names: Mapping[str, str]) -> bytes:
    """The bytes of a file like `source` with tensors renamed, in the format that `target`'s suffix says.

    Raises CnncError (E801) where that is another format than the source's.
    """
    if (source.suffix == SUFFIX) != (target.suffix == SUFFIX):
        hint = f"write a {source.suffix or '.pt'} file"
        raise fail("E801", f"`{source}` cannot be written as `{target.name}`: the formats differ", hint=hint)
    if source.suffix == SUFFIX:
        return _renamed_safetensors(source, names)
    import io

    import torch

    buffer = io.BytesIO()
    state = {
        names.get(name, name): tensor.reshape(with_axis(name, tuple(tensor.shape)))
        if name in names
        else tensor
        for name, tensor in read_state(source).items()
    }
    torch.save(state, buffer)
    return buffer.getvalue()


def _renamed_safetensors(source: Path, names: Mapping[str, str]) -> bytes:
    entries, metadata, start = _header(source)
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, entry in entries.items():
        axes = with_axis(name, tuple(entry["shape"])) if name in names else entry["shape"]
        header[names.get(name, name)] = {**entry, "shape": list(axes)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + source.read_bytes()[start:]


# --- maps ---------------------------------------------------------------------------------


def read_map(path: Path) -> dict[str, str]:
    """Names of a file to names of a spec: a JSON object, or lines `theirs -> ours`.

    Raises CnncError (E701) where it is neither, or gives two tensors one name.
    """
    try:
        text = path.read_text(encoding="utf8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not UTF-8") from None
    names = _json_map(text, path) if path.suffix == ".json" else _text_map(text, path)
    if len(set(names.values())) < len(names):
        given = list(names.values())
        twice = next(name for name in given if given.count(name) > 1)
        raise _unreadable(path, f"two tensors would be called `{twice}`")
    return names


def _json_map(text: str, path: Path) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(path, "it is not JSON") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _unreadable(path, "expected an object of names")
    return found


def _text_map(text: str, path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        theirs, arrow, ours = (part.strip() for part in line.partition("->"))
        if not (theirs and arrow and ours) or theirs in names:
            raise _unreadable(path, f"line {number} is not `theirs -> ours`, or says a name again")
        names[theirs] = ours
    return names


def map_text(names: Mapping[str, str], path: Path) -> str:
    """A map as the file's suffix has it."""
    if path.suffix == ".json":
        return json.dumps(names, indent=1) + "\n"
    lines = ["# A guess by order and shape: names of the file -> names of the spec."]
    return "\n".join([*lines, *(f"{theirs} -> {ours}" for theirs, ours in names.items())]) + "\n"


def _unreadable(path: Path | os.PathLike[str], why: str) -> CnncError:
    return fail("E701", f"`{path}` cannot be read: {why}")
