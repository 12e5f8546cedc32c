"""A `.onnx` file to a trace: its graph and tensors alone. Needs the package onnx, and runs nobody's code.

Every operator becomes the step of PyTorch's that computes the same (`onnx_rules.py`); shapes are those that
onnx infers once what is constant has been worked out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.importer.refusal import Refusal, at
from cnnc.importer.stack import line_of
from cnnc.importer.traced import Held, Ref, Shape, Step, Traced, Where

if TYPE_CHECKING:
    import numpy
    import onnx

BATCH = 2
"""The batch of a file that leaves it open; not 1, so that no axis is taken for it."""
_MOST_VALUES = 4096
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
"""A name of a tensor as a state dict has them."""


def read_onnx(path: Path) -> Traced:
    """The network in a file. Raises CnncError: E701 where it is none, E802 without onnx, E805 for what is no layer."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise fail("E802", "the package onnx is missing", hint="pip install 'cnnc[onnx]'") from None
    try:
        model = onnx.load(path)
        if not model.graph.node:
            raise ValueError("it has no operators")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except Exception as error:  # of protobuf, which has a kind for each mishap
        raise _unreadable(path, f"it is no ONNX file, or damaged ({type(error).__name__})") from None
    return Reader(model, path).traced()


def _unreadable(path: Path, why: str) -> CnncError:
    return fail("E701", f"`{path}` cannot be read: {why}")


class Reader:
    """The state of a reading: the nodes that are left to translate, and what is known of their names."""

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        self.path = path
        self.producer = f"{model.producer_name} {model.producer_version}".strip() or "an unnamed program"
        self.stored = {tensor.name for tensor in model.graph.initializer}
        self.model = _with_sizes(model, path)
        self.constants, self.shapes, self.nodes = _folded(self.model)
        self.opset = next((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.held: dict[str, Held] = {}
        self.layouts: dict[str, tuple[str, bool]] = {}
        """By key: the tensor's name in the file, and whether PyTorch has its axes the other way."""
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.running: set[str] = set()
        self.skipped: set[int] = set()
        """Nodes that an earlier one has taken in, by `id`."""

    def traced(self) -> Traced:
        graph = self.model.graph
        inputs = {
            value.name: self.shapes[value.name] for value in graph.input if value.name not in self.constants
        }
        steps = tuple(step for node in self.nodes for step in self._steps(node))
        outputs = [value.name for value in graph.output]
        named = (
            {"output": Ref(outputs[0])} if len(outputs) == 1 else {_word(name): Ref(name) for name in outputs}
        )
        state = {held.key: held.shape for held in self.held.values()}
        classes = {w.path: w.kind for step in steps if (w := step.where).path and w.kind}
        return Traced(
            name=_word(self.path.stem), inputs={_word(k): v for k, v in inputs.items()} if len(inputs) > 1 else inputs,
            held=self.held, steps=steps, outputs=named, batch=next(iter(inputs.values()))[0], state=state,
            learnt=frozenset(key for key in state if key not in self.running), classes=classes, tensors=self._tensors(),
            origin=f"imported from {self.path.name}, written by {self.producer}",
        )  # fmt: skip

    def _tensors(self) -> dict[str, numpy.ndarray]:
        """What the steps hold, in the shapes of PyTorch's layers."""
        found = {}
        for held in self.held.values():
            name, turned = self.layouts[held.key]
            array = self.constants[name]
            found[held.key] = (array.T if turned else array).reshape(held.shape)
        return found

    # --- one node --------------------------------------------------------------------------

    def _steps(self, node: onnx.NodeProto) -> Iterator[Step]:
        from cnnc.importer.onnx_rules import RULES

        if id(node) in self.skipped:
            return
        where = self.where(node)
        made = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        try:
            if made is None:
                raise Refusal("the language has no layer for it")
            yield from made(self, node, where)
        except Refusal as refusal:
            raise at(Step(node.name, node.op_type, {}, (None,), where), refusal) from None

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """A node's attributes; texts as such."""
        import onnx

        found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}

    def shape(self, name: str) -> Shape:
        """Of a tensor. Raises Refusal where onnx cannot tell."""
        if name in self.constants:
            return tuple(self.constants[name].shape)
        if name not in self.shapes:
            raise Refusal(f"the shape of `{name}` hangs on values that flow")
        return self.shapes[name]

    def is_stored(self, name: str) -> bool:
        """Whether the file has a constant as it is; others are worked out."""
        return name in self.stored

    def constant(self, name: str) -> numpy.ndarray:
        """The values of an input that must not flow. Raises Refusal where it does."""
        if name not in self.constants:
            raise Refusal(f"`{name}` is computed, and must be a constant")
        return self.constants[name]

    def numbers(self, node: onnx.NodeProto, place: int) -> list[Any] | None:
        """The values of an optional input."""
        if len(node.input) <= place or not node.input[place]:
            return None
        found: list[Any] = self.constant(node.input[place]).reshape(-1).tolist()
        return found

    def operand(self, name: str) -> Any:
        """An operand of arithmetic: a number where it is a single constant one, a tensor of the file, or what flows."""
        if name not in self.constants:
            return Ref(name)
        array = self.constants[name]
        if array.size == 1 and array.ndim <= 1:
            return array.item()
        return self.tensor(name, "weight", shape=array.shape)

    def tensor(
        self, name: str, role: str, *, shape: Shape | None = None, turned: bool = False, running: bool = False,
        where: Where | None = None, beside: Ref | None = None,
    ) -> Ref:  # fmt: skip
        """A tensor of the file that a layer holds, `beside` its weight; `turned`, with its two axes the other way."""
        array = self.constant(name)
        wanted = tuple(reversed(array.shape)) if turned else shape or tuple(array.shape)
        handle = f"{name}^T" if turned else name
        if handle not in self.held:
            key = self._key(name, role, where, beside)
            few = (
                tuple(map(float, array.reshape(-1).tolist()))
                if array.size <= _MOST_VALUES and not turned
                else None
            )
            self.held[handle] = Held(handle, "buffer" if running else "parameter", key, wanted, True, few)
            self.layouts[key] = (name, turned)
            if running:
                self.running.add(key)
        elif self.held[handle].shape != wanted:
            raise Refusal(f"`{name}` is used in two shapes")
        return Ref(handle)

    def _key(self, name: str, role: str, where: Where | None, beside: Ref | None) -> str:
        """The key of a tensor: its own name where that is one of a state dict, else by its weight, module or role."""
        taken = set(self.layouts)
        stem = f"{where.path}.{role}" if where is not None and where.path else f"{_word(name)}.{role}"
        if beside is not None and not name.endswith(f".{role}"):
            stem = f"{self.held[beside.name].key.rpartition('.')[0]}.{role}"
            key = stem
        else:
            key = name if _KEY.fullmatch(name) else stem
        number = 1
        while key in taken:
            number += 1
            key = f"{stem.rpartition('.')[0]}_{number}.{role}"
        return key

    def where(self, node: onnx.NodeProto) -> Where:
        """Where in a module a node comes from, as far as its exporter says."""
        told = {entry.key: entry.value for entry in node.metadata_props}
        scopes = _list(told.get("pkg.torch.onnx.name_scopes", ""))
        kinds = _list(told.get("pkg.torch.onnx.class_hierarchy", ""))
        if len(scopes) > 1:
            kind = kinds[-2].rpartition(".")[2] if len(kinds) > 1 else ""
            return Where(scopes[-2], kind, 0, line_of(told.get("pkg.torch.onnx.stack_trace", "")))
        path = ""
        for part in node.name.strip("/").split("/")[:-1]:
            path = part if part.startswith(f"{path}.") or not path else f"{path}.{part}"
        return Where(path, "", 0, "" if path else f"node `{node.name}`" if node.name else "")


def _list(text: str) -> list[str]:
    """A list of texts as the exporter writes it."""
    try:
        found = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return []
    return [str(part) for part in found] if isinstance(found, list) else []


def _word(name: str) -> str:
    """A name with letters, digits and underscores alone.

    >>> _word("onnx::Conv_497"), _word("3x3")
    ('onnx_Conv_497', 'n3x3')
    """
    word = re.sub(r"\W+", "_", name).strip("_") or "net"
    return f"n{word}" if word[0].isdigit() else word


# --- shapes and constants -------------------------------------------------------------------


def _with_sizes(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with a number for every size of its inputs, and no shape that was inferred for others."""
    model.ir_version = max(model.ir_version, 4)  # before, a tensor of the file had to be an input too
    held = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in held:
            continue
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value > 0:
                continue
            if i:
                free = dim.dim_param or "?"
                raise fail(
                    "E407", f"`{path.name}` leaves the size `{free}` of its input `{value.name}` open",
                    hint="export it with a fixed size of image; the batch may stay open",
                )  # fmt: skip
            dim.ClearField("dim_param")
            dim.dim_value = BATCH
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return model


def _folded(
    model: onnx.ModelProto,
) -> tuple[dict[str, numpy.ndarray], dict[str, Shape], list[onnx.NodeProto]]:
    """Constants by name, worked out as far as they can be; shapes of what flows; the nodes that are left."""
    import onnx

    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    while True:
        shapes = _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True))
        left = [node for node in model.graph.node if not _worked_out(model, node, constants, shapes)]
        if len(left) == len(model.graph.node):
            return constants, shapes, left
        known = {t.name for t in model.graph.initializer}
        for node in model.graph.node:
            for name in node.output:
                if name in constants and name not in known:
                    model.graph.initializer.append(onnx.numpy_helper.from_array(constants[name], name))
        del model.graph.node[:]
        model.graph.node.extend(left)


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    found = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _worked_out(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    constants: dict[str, numpy.ndarray],
    shapes: Mapping[str, Shape],
) -> bool:
    """Whether a node's results are constants, which are then noted."""
    import numpy
    from onnx.reference import ReferenceEvaluator

    inputs = [name for name in node.input if name]
    if node.op_type == "Shape":
        if inputs[0] not in shapes and inputs[0] not in constants:
            return False
        shape = constants[inputs[0]].shape if inputs[0] in constants else shapes[inputs[0]]
        bounds = {a.name: a.i for a in node.attribute}
        shape = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
        constants[node.output[0]] = numpy.array(shape, dtype=numpy.int64)
        return True
    if node.op_type == "CastLike" and inputs[0] in constants:  # as what flows: real numbers
        constants[node.output[0]] = constants[inputs[0]].astype(numpy.float32)
        return True
    if any(name not in constants for name in inputs) or any(a.HasField("g") for a in node.attribute):
        return False
    import onnx

    bare = onnx.helper.make_graph(
        [node], "constant",
        [onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(constants[n].dtype), None) for n in dict.fromkeys(inputs)],
        [onnx.helper.make_empty_tensor_value_info(n) for n in node.output],
    )  # fmt: skip
    evaluator = ReferenceEvaluator(
        onnx.helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)
    )
    try:
        results = evaluator.run(None, {n: constants[n] for n in inputs})
    except Exception:  # an operator that the reference lacks: the rules say which
        return False
    constants.update(zip(node.output, map(numpy.asarray, results), strict=True))
    return True
