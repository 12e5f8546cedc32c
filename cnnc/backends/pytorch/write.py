"""The plan as a file: classes, forwards, docstrings, in the layout of the common formatters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cnnc.backends.pytorch.body import Body, Line, Slices
from cnnc.backends.pytorch.branches import joined
from cnnc.backends.pytorch.classes import ClassDef, ClassParam, Plan
from cnnc.backends.pytorch.helpers import helper_source
from cnnc.backends.pytorch.names import distinct, field, prose, variable
from cnnc.backends.pytorch.plan import plan
from cnnc.backends.pytorch.wrap import lay_out
from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import by_x, show
from cnnc.compiler.ops.reparam import RULES
from cnnc.compiler.symbolic import Param, Sourced
from cnnc.dsl.version import VERSION


def to_pytorch(
    graph: Graph,
    *,
    form: Callable[[Graph], Graph] = lambda graph: graph,
    note: str | None = None,
    helpers: Sequence[str] = (),
    tail: Sequence[str] = (),
    checkpointed: Collection[int] = (),
    slices: Slices | None = None,
) -> str:
    """A Python file that defines the model; it imports torch only.

    `form` makes the graph that is written of a graph, `note` says what form it has, `tail` are lines to follow the classes, `helpers` what those call,
    `checkpointed` the `id` of each scope that is computed again in the backward pass, `slices` how many
    images it takes at a time.
    Raises CnncError (E801) where PyTorch cannot express the graph.
    """
    import cnnc.backends.pytorch.emitters  # noqa: F401  (registers the emitters)

    extras = _Extras(note, tuple(helpers), tuple(tail), checkpointed, slices)
    formed = form(graph)
    return _File(formed, plan(formed), extras).text()


@dataclass(frozen=True, slots=True)
class _Extras:
    """What a form has that the plain one has not; see `to_pytorch`."""

    note: str | None
    helpers: tuple[str, ...]
    tail: tuple[str, ...]
    checkpointed: Collection[int]
    slices: Slices | None


class _File:
    def __init__(self, graph: Graph, the_plan: Plan, extras: _Extras) -> None:
        self.graph = graph
        self.note = extras.note
        again = ("Checkpointed",) if extras.checkpointed else ()
        self.helpers = sorted({*the_plan.helpers, *extras.helpers, *again})
        self.tail = list(extras.tail)
        self.checkpointed = extras.checkpointed
        self.slices = extras.slices
        self.plan = the_plan
        self.ordered = False
        self.model = the_plan.classes[-1]

    def text(self) -> str:
        classes = [self._class(cls) for cls in self.plan.classes]
        written = "\n".join(line for cls in classes for line in cls)
        self.helpers = sorted({*self.helpers, *(["by_slices"] if "by_slices(" in written else [])})
        helpers = [helper_source(name).rstrip("\n").split("\n") for name in self.helpers]
        outputs = self._outputs_class()
        head = [*self._docstring(), "", *self._imports(helpers, classes)]
        parts = [
            head,
            *helpers,
            *([outputs] if outputs else []),
            *classes,
            *([self.tail] if self.tail else []),
            self._main(),
        ]
        return "\n\n\n".join("\n".join(part) for part in parts) + "\n"

    def _docstring(self) -> list[str]:
        counted = costs(self.graph)
        ins = ", ".join(f"{prose(k)}: {by_x(self.graph.nodes[i].out)}" for k, i in self.graph.inputs.items())
        outs = ", ".join(
            f"{prose(k)}: {by_x(self.graph.nodes[i].out)}" for k, i in self.graph.outputs.items()
        )
        return [
            f'"""{prose(self.graph.name)}: {counted.told("params")} parameters, '
            f"{counted.told('macs')} multiply-adds for each image.",
            "",
            f"in   {ins}",
            f"out  {outs}",
            "",
            f"Written by cnnc {VERSION}{f', {self.note}' if self.note else ''}.",
            '"""',
        ]

    def _imports(self, helpers: list[list[str]], classes: list[list[str]]) -> list[str]:
        body = "\n".join(line for part in (*helpers, *classes) for line in part)
        standard = []
        if "OrderedDict(" in body:
            standard.append("from collections import OrderedDict")
        if self.checkpointed:
            standard.append("from collections.abc import Iterator")
            standard.append("from contextlib import contextmanager, nullcontext")
        if "math." in body:
            standard.insert(0, "import math")
        if self.model.exact:
            standard.append("from fractions import Fraction")
        typing = ["Any"] if ": Any" in body else []
        typing += ["NamedTuple"] if len(self.graph.outputs) > 1 else []
        if typing:
            standard.append(f"from typing import {', '.join(typing)}")
        lines = ["import torch"]
        if re.search(r"\bF[.,]", body):
            lines.append("import torch.nn.functional as F")
        lines.append("from torch import Tensor, nn")
        rules = [rule for rule in sorted(RULES) if re.search(rf"\b{rule}\b[(,]", body)]
        lines += [f"from torch.nn.utils.parametrizations import {', '.join(rules)}"] if rules else []
        lines += ["from torch.utils.checkpoint import checkpoint"] if self.checkpointed else []
        lines += ["", *self.plan.imports] if self.plan.imports else []
        return [*standard, *([""] if standard else []), *lines]

    def _outputs_class(self) -> list[str]:
        if len(self.graph.outputs) < 2:
            return []
        lines = [f"class {self._outputs_name()}(NamedTuple):"]
        lines += [f'    """What `{self.model.name}` returns."""', ""]
        for name, node in zip(
            distinct(map(field, self.graph.outputs)), self.graph.outputs.values(), strict=True
        ):
            lines.append(f"    {name}: Tensor  # {by_x(self.graph.nodes[node].out)}")
        return lines

    def _outputs_name(self) -> str:
        return f"{self.model.name}Output"

    # --- classes -----------------------------------------------------------------------------

    def _class(self, cls: ClassDef) -> list[str]:
        base = "nn.Sequential" if cls.first.sequential else "nn.Module"
        if id(cls.first.scope) in self.checkpointed:
            base = "Checkpointed, nn.Sequential" if cls.first.sequential else "Checkpointed"
        return [f"class {cls.name}({base}):", *self._class_doc(cls), *self.definition(cls)]

    def definition(self, cls: ClassDef) -> list[str]:
        """The methods of a class."""
        signature = ["self", *map(_parameter, cls.params)]
        lines = lay_out(f"def __init__({', '.join(signature)}) -> None:", 4)
        inputs = self._input_names(cls)
        returned = self._outputs_name() if cls is self.model and len(cls.first.returns) > 1 else None
        if cls.leaves:
            bodies = [Body(leaf.cls, inputs, returned) for leaf in cls.leaves]
            constructor, forward = joined(cls, bodies, self.graph)
        else:
            body = Body(cls, inputs, returned, self._shapes(cls), self.slices if cls is self.model else None)
            constructor, forward = [line for chunk in body.constructor for line in chunk], body.forward
        lines += _laid_out(constructor)
        if not cls.first.sequential:
            lines += ["", *self._signature(cls, inputs, returned), *_laid_out(forward)]
        if not cls.leaves and body.maps:
            lines += [
                "",
                f"    def {body.maps_name}(self, {inputs[0]}: Tensor) -> Tensor:",
                *_laid_out(body.maps),
            ]
        return lines

    def _shapes(self, cls: ClassDef) -> dict[int, str]:
        """The shapes that forward tells of: the model's, where they are the same whatever it is given."""
        if cls is not self.model or cls.params or self.graph.free:
            return {}
        return {node.index: by_x(node.out) for node in self.graph.nodes if node.role != "input"}

    def _signature(self, cls: ClassDef, inputs: Sequence[str], returned: str | None) -> list[str]:
        count = len(cls.first.returns)
        kind = returned or ("Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]")
        arguments = [f"{name}: Tensor" for name in inputs]
        arguments += [f"{variable(name)}: nn.Module" for name in cls.first.modules]
        return lay_out(f"def forward({', '.join(['self', *arguments])}) -> {kind}:", 4)

    def _class_doc(self, cls: ClassDef) -> list[str]:
        scope = cls.first.scope
        if cls is self.model:
            ins = " and ".join(by_x(self.graph.nodes[i].out) for i in self.graph.inputs.values())
            outs = " and ".join(by_x(self.graph.nodes[i].out) for i in self.graph.outputs.values())
            return [*self._model_doc(f"`{self.graph.name}`: {ins} to {outs}."), ""]
        if scope.block is not None:
            shown = ", ".join(scope.block.params)
            lines = _doc(f"The block `{scope.block.name}({shown})`.")
        else:
            lines = _doc(f"The bracket `{scope.local}`.")
        return [*lines, ""]

    def _model_doc(self, summary: str) -> list[str]:
        """What the model is; and those of the file's params that it does not take, with the reason."""
        taken = {param.sym.name for param in self.model.params if param.sym is not None}
        fixed = [name for name, given in self.graph.params.items() if name not in taken and _is_given(given)]
        if not fixed:
            return _doc(summary)
        shown = ", ".join(f"{name}={show(self.graph.params[name].value)}" for name in fixed)
        return [
            f'    """{prose(summary)}',
            "",
            f"    Compiled for {prose(shown)}: the layers depend on it, not their sizes alone.",
            '    """',
        ]

    def _input_names(self, cls: ClassDef) -> list[str]:
        if cls is self.model:
            if list(self.graph.inputs) == ["input"]:
                return ["x"]
            return distinct(map(variable, self.graph.inputs))
        names = ["x"]
        for node in cls.first.inputs[1:]:
            label = self.graph.nodes[node].label
            name = variable(label) if label else f"x{len(names) + 1}"
            while name in names:
                name += "_"
            names.append(name)
        return names[: len(cls.first.inputs)]

    def _main(self) -> list[str]:
        shapes = [self.graph.nodes[i].out for i in self.graph.inputs.values()]
        inputs = ", ".join(f"torch.randn(1, {', '.join(str(int(n)) for n in shape)})" for shape in shapes)
        lines = ['if __name__ == "__main__":', f"    model = {self.model.name}().eval()"]
        lines.append("    with torch.no_grad():")
        lines += lay_out(f"output = model({inputs})", 8)
        if len(self.graph.outputs) > 1:
            return [*lines, "    print([tuple(tensor.shape) for tensor in output])"]
        return [*lines, "    print(tuple(output.shape))"]


def _laid_out(lines: Sequence[Line]) -> list[str]:
    """The lines of a method."""
    return [laid for indent, line in lines for laid in lay_out(line, 8 + indent)]


def _is_given(param: Sourced[object]) -> bool:
    """Whether a param of the file can be given another value; else it is made of others."""
    return isinstance(param.source, Param)


def _parameter(param: ClassParam) -> str:
    return f"{param.name}: {param.annotation}" + ("" if param.default is None else f" = {param.default}")


def _doc(text: str) -> list[str]:
    return [f'    """{prose(text)}"""']
