"""The plan as a file: classes, forwards, docstrings, in the layout of the common formatters."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.pytorch.body import Body, Line
from cnnc.backends.pytorch.branches import joined
from cnnc.backends.pytorch.classes import ClassDef, ClassParam, Plan
from cnnc.backends.pytorch.form import PLAIN, Form, Formed
from cnnc.backends.pytorch.helpers import helper, helper_names, helper_source, with_needs
from cnnc.backends.pytorch.imports import FRACTION, NAMED_TUPLE, ORDERED_DICT, TORCH, import_lines
from cnnc.backends.pytorch.names import distinct, field, prose, variable
from cnnc.backends.pytorch.plan import plan
from cnnc.backends.pytorch.wrap import lay_out
from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import by_x, show
from cnnc.compiler.symbolic import Param, Sourced
from cnnc.dsl.deep import deep
from cnnc.dsl.version import VERSION


def to_pytorch(graph: Graph, form: Form = PLAIN) -> str:
    """A Python file that defines the model in a form; it imports torch only.

    Raises CnncError (E801) where PyTorch or the form cannot express the graph.
    """
    return written(form.of(graph), form.note)


@deep
def written(formed: Formed, note: str) -> str:
    """The file of what a form made of a graph; `note` says in it which form that is."""
    import cnnc.backends.pytorch.emitters  # noqa: F401  (registers the emitters)

    return _File(formed, plan(formed.graph), note).text()


class _File:
    def __init__(self, formed: Formed, the_plan: Plan, note: str) -> None:
        self.graph = formed.graph
        self.formed = formed
        self.note = note
        self.plan = the_plan
        self.model = the_plan.classes[-1]
        self.calls: set[str] = set()
        """What the lines of the classes call; see `Body`."""
        self.tupled = self.graph.tupled or len(self.graph.outputs) > 1

    def text(self) -> str:
        classes = [self._class(cls) for cls in self.plan.classes]
        called = self.calls & set(helper_names())
        helpers = with_needs({*self.plan.helpers, *self.formed.helpers, *called})
        outputs = self._outputs_class()
        parts = [
            [*self._docstring(), "", *self._imports(helpers)],
            *(helper_source(name).rstrip("\n").split("\n") for name in helpers),
            *([outputs] if outputs else []),
            *classes,
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

    def _imports(self, helpers: Sequence[str]) -> list[str]:
        found = {*TORCH, *self.plan.imports}
        found |= {FRACTION} if self.model.exact else set()
        found |= {ORDERED_DICT} if "OrderedDict" in self.calls else set()
        found |= {NAMED_TUPLE} if self.tupled else set()
        return import_lines(found.union(*(helper(name).imports for name in helpers)))

    def _outputs_class(self) -> list[str]:
        if not self.tupled:
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
        if id(cls.first.scope) in self.formed.checkpointed:
            base = "Checkpointed, nn.Sequential" if cls.first.sequential else "Checkpointed"
        if self.formed.staged and cls is self.model:
            base = "InStages"
        lines = [f"class {cls.name}({base}):", *self._class_doc(cls)]
        if self.formed.staged and cls is self.model:
            from cnnc.backends.pytorch.staged import stage_lines

            lines += stage_lines(self.plan.classes)
        return [*lines, *self.definition(cls)]

    def definition(self, cls: ClassDef) -> list[str]:
        """The methods of a class."""
        signature = ["self", *map(_parameter, cls.params)]
        lines = lay_out(f"def __init__({', '.join(signature)}) -> None:", 4)
        inputs = self._input_names(cls)
        returned = self._outputs_name() if cls is self.model and self.tupled else None
        if cls.leaves:
            bodies = [Body(leaf.cls, inputs, returned, is_whole=False) for leaf in cls.leaves]
            constructor, forward = joined(cls, bodies, self.graph)
            self.calls |= set().union(*(body.calls for body in bodies))
        else:
            body = Body(
                cls, inputs, returned, self._shapes(cls), self.formed.slices if cls is self.model else None
            )
            constructor, forward = [line for chunk in body.constructor for line in chunk], body.forward
            self.calls |= body.calls
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
        if self.formed.staged and any(scope is stage for stage in self.graph.root.children):
            return [
                *_doc(f"Stage {scope.local.removeprefix('stage')} of {len(self.graph.root.children)}."),
                "",
            ]
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
            while name in names or name in cls.first.modules:
                name += "_"
            names.append(name)
        return names[: len(cls.first.inputs)]

    def _main(self) -> list[str]:
        shapes = [self.graph.nodes[i].out for i in self.graph.inputs.values()]
        inputs = ", ".join(f"torch.randn(1, {', '.join(str(int(n)) for n in shape)})" for shape in shapes)
        lines = ['if __name__ == "__main__":', f"    model = {self.model.name}().eval()"]
        lines.append("    with torch.no_grad():")
        lines += lay_out(f"output = model({inputs})", 8)
        if self.tupled:
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
