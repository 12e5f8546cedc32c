"""Nothing of a spec becomes code but what the language means: hostile names are inert, or refused.

Every accepted file is held against a list of what may stand in it: at the level of the
module only imports of torch and of a few modules of Python, classes, functions and the final
`if __name__ == "__main__"`; anywhere in it only calls of layers, of tensors' methods and of the
file's own names. It is then imported where nothing may be opened, run or printed.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.backends.pytorch import names

torch = pytest.importorskip("torch")

IMPORTS = {"torch", "torch.nn.functional", "collections", "typing", "math"}
HARMLESS = {"range", "len", "isinstance", "tuple", "list", "zip", "enumerate", "super", "str", "int", "max", "min", "print",
            "getattr", "sum", "round", "ValueError", "float"}  # fmt: skip
FORBIDDEN_NAMES = {"eval", "exec", "compile", "open", "input", "globals", "locals", "vars", "setattr", "delattr",
                   "breakpoint", "os", "sys", "subprocess", "builtins"}  # fmt: skip

PAYLOADS = (
    'x"""\n__import__("os").system("touch /tmp/owned")\n"""',
    "x'''\nimport os",
    "__import__('os').system('touch owned')",
    "a\nimport os",
    "a\rimport os",
    "a\u2028import os",
    "a\x0cimport os",
    "a; import os",
    "a\\",
    'a\\"',
    "{__import__('os')}",
    "{x}1",
    "f'{x}'",
    "%s%n",
    "# coding: utf-7",
    "\\N{BULLET}",
    "\\x",
    "\\u12",
    "ａｂｃ",  # full-width letters, which Python reads as abc
    "ｉｍｐｏｒｔ",
    "sеlf",  # with a Cyrillic e
    "a\u202eb",  # from right to left
    "a\u200bb",
    "naïve",
    "☃",
    "\x00",
    "a b",
    "a-b",
    "a/b",
    "1a",
    "'",
    "}}",
    "self.x",
    "..",
    "a..b",
    "*",
    "",
)
WORDS = (
    *keyword.kwlist, *keyword.softkwlist, "self", "cls", "torch", "nn", "F", "Tensor", "OrderedDict", "NamedTuple",
    "Any", "super", "range", "print", "str", "int", "float", "tuple", "list", "getattr", "exec", "eval", "open",
    "x", "y", "z", "i", "j", "_", "__", "__init__", "__class__", "__dict__", "__call__", "__getattr__", "__del__",
    "__import__", "__builtins__", "__name__", "_modules", "_parameters", "_buffers", "forward", "train", "training",
    "state_dict", "to", "apply", "keys", "items", "values", "append", "in_channels", "model", "output", "index", "count",
)  # fmt: skip


def compiled(text: str, **arguments: Any) -> str | None:
    """The written file; None where the spec is refused with a diagnostic."""
    try:
        net = cnnc.parse(text, **arguments)
        source = net.pytorch()
    except cnnc.CnncError:  # anything else would be a traceback
        return None
    check(source)
    run(source, net)
    return source


def check(source: str) -> None:
    """Only what a generated file may have in it."""
    tree = ast.parse(source)
    assert isinstance(tree.body[0], ast.Expr)
    assert isinstance(tree.body[0].value, ast.Constant)
    *body, last = tree.body[1:]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"
    for node in body:
        assert isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef), ast.unparse(
            node
        )
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= IMPORTS
        if isinstance(node, ast.ImportFrom):
            assert node.module in IMPORTS
        if isinstance(node, ast.ClassDef):
            assert not node.decorator_list
            _check_class(node)
    own = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global | ast.Nonlocal | ast.Await | ast.NamedExpr)
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            is_field = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            assert name.isascii()
            assert name == "__name__" or not name.startswith("__")
            assert is_field or name not in FORBIDDEN_NAMES
        if isinstance(node, ast.Attribute):
            assert node.attr == "__init__" or not node.attr.startswith("__")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
            assert called in own | HARMLESS | {"Tensor", "OrderedDict", "model"}, called


def _check_class(node: ast.ClassDef) -> None:
    for statement in node.body:
        is_doc = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        is_field = isinstance(statement, ast.AnnAssign) and statement.value is None
        assert is_doc or is_field or isinstance(statement, ast.FunctionDef), ast.unparse(statement)


def run(source: str, net: cnnc.Net) -> None:
    """The file is imported, and its model built and called on the meta device."""
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(source, "net.py", "exec"), scope)
    with torch.device("meta"):
        model = scope[type(net.module()).__name__]()
        outputs = model(*(torch.empty(2, *shape) for shape in net.inputs.values()))
    shapes = [tuple(o.shape[1:]) for o in (outputs if isinstance(outputs, tuple) else [outputs])]
    assert shapes == list(net.outputs.values())
    assert not model.__dict__.keys() & {"forward", "__class__"}


@pytest.fixture(autouse=True)
def nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """No file is made, no program started, nothing printed."""

    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError(f"the emitted file did something: {arguments}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(builtins, "breakpoint", refuse)
    yield
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


HOSTILE = (*PAYLOADS, *WORDS)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_labels(text: str) -> None:
    """Bare and quoted; on a layer, on brackets of both kinds, in a chain, and dotted."""
    for label in (text, f'"{text}"'):
        compiled(f"input 3x8x8\n{label}: conv3-4 -> gap")
        compiled(f"input 3x8x8\n{label}: [conv3-4 -> pool] -> gap")
        compiled(f"input 3x8x8\nb: [{label}: conv3-4 -> pool] -> gap")
        compiled(f"input 3x8x8\n{label}: [conv3-4 | {label}: conv1-4] -> gap")
    compiled(f'input 3x8x8\nconv3-4 -> "a.{text}": conv3-4 -> "a.b": conv3-4')
    compiled(f'input 3x8x8\n"{text}": conv3-4\n"{text}" -> m: gap\noutput "{text}", m')


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_numbered_labels_of_a_loop(text: str) -> None:
    """A name of many parts becomes an f-string in a constructor."""
    compiled(f"input 4x8x8\nblock b(n) = [{text}{{i}}: conv3-4 for i in 1..n]\nb(3) -> b(5)")
    for i in (1, 2, 3):
        compiled(f'input 4x8x8\nb: ["{text}{i}": conv3-4 -> "{text}{i + 1}": conv3-4]')


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_models_and_inputs_and_blocks(text: str) -> None:
    compiled(f"model {text}\ninput 3x8x8\nconv3-4")
    compiled(f'model "{text}"\ninput 3x8x8\nconv3-4')
    compiled(f"input {text}: 3x8x8\nconv3-4")
    compiled(f"input {text}: 3x8x8\ninput {text}_: 3x8x8\n[{text} | {text}_] -> conv3-4")
    compiled(f"input 3x8x8\nblock {text}(w) = [conv3-w | conv1-w]\n{text}(4) -> {text}(8)")
    compiled(f"input 3x8x8\nblock b({text}, w) = [conv3-{{{text}}} -> conv1-w]\nb(4, 5) -> b(8, 9)")
    compiled(f"input 3x8x8\nshared {text} = conv3-3\n{text} -> {text}")
    compiled(f"input 3x8x8\nparam {text} = 4\nconv3-{{{text}}}")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_stems_of_files(text: str) -> None:
    """A file may be called anything; the model it does not name is called after it."""
    from cnnc.compiler.build import build
    from cnnc.dsl.parse import parse
    from cnnc.dsl.source import Source

    graph = build(parse(Source("net.cnn", "input 3x8x8\nconv3-4 -> b: [conv1-4 | conv3-4]")), stem=text)
    net = cnnc.Net(graph)
    source = net.pytorch()
    check(source)
    run(source, net)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_comments(text: str) -> None:
    plain = compiled("input 3x8x8\nconv3-4")
    assert compiled(f"# {text}\ninput 3x8x8\nconv3-4  # {text}") in (plain, None)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_externs(text: str) -> None:
    """A class and its package are identifiers, its arguments literals; what is left is an import of that class."""
    for target in (text, f"{text}:Block", f"package:{text}", f"a.{text}:B"):
        try:
            source = cnnc.parse(
                f'input 3x8x8\nextern e(k=7) = "{target}" (shape=same)\nconv3-4 -> e'
            ).pytorch()
        except cnnc.CnncError:
            continue
        package, _, name = target.partition(":")
        tree = ast.parse(source)
        imports = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.level == 0]
        assert (package, name, None) in {(n.module, a.name, a.asname) for n in imports for a in n.names}
        assert f"{name}(k=7)" in source
    try:
        source = cnnc.parse(
            f'input 3x8x8\nextern e(k="{text}") = "package:Block" (shape=same)\nconv3-4 -> e'
        ).pytorch()
    except cnnc.CnncError:
        return
    calls = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Block"
    ]
    assert [ast.literal_eval(word.value) for call in calls for word in call.keywords] == [text]


@pytest.mark.parametrize(
    "target", ["os:system", "builtins:eval", "subprocess:run", "package:super", "package:nn", "package:print"]
)
def test_externs_that_are_refused(target: str) -> None:
    """Python's own modules have no layers, and a name that the file needs is not hidden."""
    net = cnnc.parse(f'input 3x8x8\nextern e = "{target}" (shape=same)\nconv3-4 -> e')
    with pytest.raises(cnnc.CnncError, match="E801"):
        net.pytorch()


def test_two_externs_of_one_name_are_refused() -> None:
    net = cnnc.parse(
        'input 3x8x8\nextern a = "one:Block" (shape=same)\nextern b = "two:Block" (shape=same)\nconv3-4 -> a -> b'
    )
    with pytest.raises(cnnc.CnncError, match="its name is taken"):
        net.pytorch()


def test_no_child_hides_an_attribute_of_its_container() -> None:
    """The lists of names hold for the torch that is installed."""
    for container, made in (("nn.Module", torch.nn.Module()), ("nn.Sequential", torch.nn.Sequential()),
                            ("nn.ModuleDict", torch.nn.ModuleDict())):  # fmt: skip
        own = {n for n in {*dir(made), *vars(made)} if not n.startswith("__")}
        assert own <= names.CONTAINER_ATTRIBUTES[container], sorted(
            own - names.CONTAINER_ATTRIBUTES[container]
        )


def test_what_is_checked_would_be_seen() -> None:
    """The check itself refuses what it is there for."""
    source = cnnc.parse("input 3x8x8\nconv3-4").pytorch()
    for bad in ("import os\n", "x = 1\n", "print(1)\n"):
        with pytest.raises(AssertionError):
            check(source.replace("\n\nclass", f"\n\n{bad}class", 1))
    with pytest.raises(AssertionError):
        check(source.replace("nn.Conv2d(3, 4, 3, padding=1)", "eval('1')"))
