"""The plan as a file: classes, forwards, docstrings, in the layout of the common formatters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from cnnc.backends.pytorch.classes import (
    ClassDef,
    DictNew,
    InstanceNew,
    LayerNew,
    New,
    Plan,
    SequenceNew,
    ShortcutNew,
    Text,
)
from cnnc.backends.pytorch.forward import Step, forward_lines
from cnnc.backends.pytorch.helpers import helper_source
from cnnc.backends.pytorch.layer import Raw
from cnnc.backends.pytorch.layout import lay_out
from cnnc.backends.pytorch.names import is_plain, quote, variable
from cnnc.backends.pytorch.plan import plan
from cnnc.backends.pytorch.sym import text as sym_text
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import by_x, count


def to_pytorch(graph: Graph) -> str:
    """A Python file that defines the model; it imports torch only.

    Raises CnncError (E801) where PyTorch cannot express the graph.
    """
    import cnnc.backends.pytorch.emitters  # noqa: F401  (registers the emitters)

    return _File(graph, plan(graph)).text()


class _File:
    def __init__(self, graph: Graph, the_plan: Plan) -> None:
        self.graph = graph
        self.plan = the_plan
        self.ordered = False
        self.model = the_plan.classes[-1]

    def text(self) -> str:
        classes = [self._class(cls) for cls in self.plan.classes]
        helpers = [helper_source(name).rstrip("\n").split("\n") for name in self.plan.helpers]
        outputs = self._outputs_class()
        head = [*self._docstring(), "", *self._imports(helpers, classes)]
        parts = [head, *helpers, *([outputs] if outputs else []), *classes, self._main()]
        return "\n\n\n".join("\n".join(part) for part in parts) + "\n"

    def _docstring(self) -> list[str]:
        params = sum(count(n.op.params(*self.graph.ins(n)).values()) for n in self._owners())
        macs = sum(n.op.macs(*self.graph.ins(n)) for n in self.graph.nodes)
        ins = ", ".join(f"{k}: {by_x(self.graph.nodes[i].out)}" for k, i in self.graph.inputs.items())
        outs = ", ".join(f"{k}: {by_x(self.graph.nodes[i].out)}" for k, i in self.graph.outputs.items())
        name = self.graph.name
        return [
            f'"""{name}: {params:,} parameters, {macs:,} multiply-adds for each image.',
            "",
            f"in   {ins}",
            f"out  {outs}",
            "",
            f"Written by cnnc {version('cnnc')}.",
            '"""',
        ]

    def _owners(self) -> Iterator[Node]:
        return (n for n in self.graph.nodes if n.module == n.name)

    def _imports(self, helpers: list[list[str]], classes: list[list[str]]) -> list[str]:
        body = "\n".join(line for part in (*helpers, *classes) for line in part)
        standard = []
        if "OrderedDict(" in body:
            standard.append("from collections import OrderedDict")
        if "math." in body:
            standard.insert(0, "import math")
        typing = ["Any"] if ": Any" in body else []
        typing += ["NamedTuple"] if len(self.graph.outputs) > 1 else []
        if typing:
            standard.append(f"from typing import {', '.join(typing)}")
        lines = ["import torch"]
        if "F." in body:
            lines.append("import torch.nn.functional as F")
        lines.append("from torch import Tensor, nn")
        lines += ["", *self.plan.imports] if self.plan.imports else []
        return [*standard, *([""] if standard else []), *lines]

    def _outputs_class(self) -> list[str]:
        if len(self.graph.outputs) < 2:
            return []
        lines = [f"class {self._outputs_name()}(NamedTuple):"]
        lines += [f'    """What `{self.model.name}` returns."""', ""]
        for name, node in self.graph.outputs.items():
            lines.append(f"    {variable(name)}: Tensor  # {by_x(self.graph.nodes[node].out)}")
        return lines

    def _outputs_name(self) -> str:
        return f"{self.model.name}Output"

    # --- classes -----------------------------------------------------------------------------

    def _class(self, cls: ClassDef) -> list[str]:
        base = "nn.Sequential" if cls.first.sequential else "nn.Module"
        lines = [f"class {cls.name}({base}):", *self._class_doc(cls)]
        signature = ["self", *(self._parameter(p.name, p.annotation, p.default) for p in cls.params)]
        lines += lay_out(f"def __init__({', '.join(signature)}) -> None:", 4)
        texts = iter(cls.texts)
        if cls.first.sequential:
            items = cls.first.children
            inner = self._items(tuple(items), cls, texts)
            lines += lay_out(f"super().__init__({inner})", 8)
            return lines
        lines.append("        super().__init__()")
        for name, new in cls.first.children:
            lines += self._child(name, new, cls, texts)
        return [*lines, "", *self._forward(cls, texts)]

    def _parameter(self, name: str, annotation: str, default: int | None) -> str:
        return f"{name}: {annotation}" + ("" if default is None else f" = {default}")

    def _class_doc(self, cls: ClassDef) -> list[str]:
        scope = cls.first.scope
        if cls is self.model:
            ins = " and ".join(by_x(self.graph.nodes[i].out) for i in self.graph.inputs.values())
            outs = " and ".join(by_x(self.graph.nodes[i].out) for i in self.graph.outputs.values())
            lines = _doc(f"`{self.graph.name}`: {ins} to {outs}.")
        elif scope.block is not None:
            shown = ", ".join(p.name for p in scope.block.params)
            lines = _doc(f"The block `{scope.block.name}({shown})`.")
        else:
            lines = _doc(f"The bracket `{scope.local}`.")
        return [*lines, ""]

    def _child(self, name: str, new: New, cls: ClassDef, texts: Iterator[Text]) -> list[str]:
        target = f"self.{name} = " if is_plain(name) else None
        if isinstance(new, ShortcutNew):
            return self._shortcut(name, cls)
        expression = self._new(new, cls, texts)
        if target is None:
            return lay_out(f"self.add_module({quote(name)}, {expression})", 8)
        return lay_out(f"{target}{expression}", 8)

    def _shortcut(self, name: str, cls: ClassDef) -> list[str]:
        """Nothing for an identity; a projection; or one or the other by the numbers."""
        shortcut = cls.shortcuts[name]
        if shortcut.new.projection is None:
            return []
        projection = self._new(shortcut.new.projection, cls, iter(shortcut.texts))
        if not shortcut.depends:
            return lay_out(f"self.{name} = {projection}", 8)
        stride = sym_text(shortcut.new.stride, cls.names)
        same = f"{sym_text(shortcut.new.source, cls.names)} == {sym_text(shortcut.new.target, cls.names)}"
        condition = same if stride == "1" else f"{stride} == 1 and {same}"
        return [
            f"        if {condition}:",
            f"            self.{name} = nn.Identity()",
            "        else:",
            *lay_out(f"self.{name} = {projection}", 12),
        ]

    def _new(self, new: New, cls: ClassDef, texts: Iterator[Text]) -> str:
        if isinstance(new, LayerNew):
            args = [self._argument(a, cls, texts) for a in new.module.args]
            args += [f"{k}={self._argument(a, cls, texts)}" for k, a in new.module.kwargs.items()]
            return _initialised(f"{new.module.cls}({', '.join(args)})", new.module.init)
        if isinstance(new, SequenceNew):
            return f"nn.Sequential({self._items(new.items, cls, texts)})"
        if isinstance(new, DictNew):
            pairs = [f"{quote(name)}: {self._new(item, cls, texts)}" for name, item in new.items]
            return f"nn.ModuleDict({{{', '.join(pairs)}}})"
        if isinstance(new, InstanceNew):
            return self._call(new, cls, texts)
        return "nn.Identity()"

    def _call(self, new: InstanceNew, cls: ClassDef, texts: Iterator[Text]) -> str:
        args: list[str] = []
        left_out = False
        for param, _ in zip(new.cls.params, new.args, strict=True):
            text = self._text(next(texts), cls)
            if param.default is not None and text == str(param.default):
                left_out = True
            else:
                args.append(f"{param.name}={text}" if left_out else text)
        return f"{new.cls.name}({', '.join(args)})"

    def _argument(self, argument: object, cls: ClassDef, texts: Iterator[Text]) -> str:
        return argument.text if isinstance(argument, Raw) else self._text(next(texts), cls)

    def _text(self, text: Text, cls: ClassDef) -> str:
        return text if isinstance(text, str) else sym_text(text, cls.names)

    def _items(self, items: tuple[tuple[str, New], ...], cls: ClassDef, texts: Iterator[Text]) -> str:
        """The inside of `nn.Sequential(…)`: by position where the names are numbers, runs folded."""
        written = [(name, self._new(new, cls, texts)) for name, new in items]
        if [name for name, _ in written] != [str(i) for i in range(len(written))]:
            pairs = ", ".join(f"({quote(name)}, {text})" for name, text in written)
            return f"OrderedDict([{pairs}])"
        out: list[str] = []
        i = 0
        while i < len(written):
            run = 1
            while i + run < len(written) and written[i + run][1] == written[i][1]:
                run += 1
            if run > 2:
                out.append(f"*[{written[i][1]} for _ in range({run})]")
            else:
                out += [written[i][1]] * run
            i += run
        return ", ".join(out)

    # --- forward -----------------------------------------------------------------------------

    def _forward(self, cls: ClassDef, texts: Iterator[Text]) -> list[str]:
        first = cls.first
        steps: list[tuple[str | None, str, Step]] = []
        for step, values in zip(first.steps, first.values, strict=True):
            template = step.template
            for key in sorted(values):
                template = template.replace(f"{{{key}}}", self._text(next(texts), cls))
            if step.target in cls.shortcuts and cls.shortcuts[step.target].new.projection is None:
                steps.append((None, "{0}", step))
            else:
                steps.append((step.target, template, step))
        final = [Step(t, x, s.ins, s.outs, s.starts_line, s.labels, s.modules) for t, x, s in steps]
        names = self._input_names(cls)
        constructor = self._outputs_name() if cls is self.model and len(first.returns) > 1 else None
        kind = constructor or (
            "Tensor" if len(first.returns) == 1 else f"tuple[{', '.join(['Tensor'] * len(first.returns))}]"
        )
        modules = [variable(name) for name in first.modules]
        arguments = [*(f"{name}: Tensor" for name in names), *(f"{name}: nn.Module" for name in modules)]
        signature = ", ".join(["self", *arguments])
        lines = lay_out(f"def forward({signature}) -> {kind}:", 4)
        for line in forward_lines(final, names, first.returns, constructor, modules):
            lines += lay_out(line, 8)
        return lines

    def _input_names(self, cls: ClassDef) -> list[str]:
        if cls is self.model:
            if list(self.graph.inputs) == ["input"]:
                return ["x"]
            return [variable(name) for name in self.graph.inputs]
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


def _doc(text: str) -> list[str]:
    return [f'    """{text}"""']


def _initialised(text: str, rules: Mapping[str, str]) -> str:
    """A constructor expression with the tensors in it started by rules of their own."""
    if not rules:
        return text
    if all(name.isidentifier() for name in rules):
        return f"initialised({text}, {', '.join(f'{name}={rule}' for name, rule in rules.items())})"
    return f"initialised({text}, **{{{', '.join(f'{quote(name)}: {rule}' for name, rule in rules.items())}}})"
