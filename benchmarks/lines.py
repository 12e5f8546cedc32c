"""Lines of a spec against lines of torchvision's or Keras's code for the same network: `python -m benchmarks.lines`.

Counted are lines with code on them: no blank lines, comments or docstrings. Of a
spec those are its own, without the claims, and those of all blocks that it uses, std's
too. Of Python they are the definitions named here, without imports, weights,
and the helpers that every network of the library shares.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from cnnc.compiler.walk.library import STD
from cnnc.dsl import syntax as s
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source
from cnnc.zoo import SPECS, files_of


@dataclass(frozen=True, slots=True)
class Peer:
    """The same network elsewhere: a package's file and the definitions in it that make the network."""

    spec: str
    package: str
    file: str
    names: tuple[str, ...]


PEERS = (
    Peer("alexnet_torchvision", "torchvision", "models/alexnet.py", ("AlexNet",)),
    Peer("vgg16", "torchvision", "models/vgg.py", ("VGG", "make_layers", "cfgs", "_vgg")),
    Peer(
        "resnet50", "torchvision", "models/resnet.py",
        ("conv3x3", "conv1x1", "Bottleneck", "ResNet", "_resnet"),
    ),
    Peer(
        "resnet18", "torchvision", "models/resnet.py",
        ("conv3x3", "conv1x1", "BasicBlock", "ResNet", "_resnet"),
    ),
    Peer(
        "googlenet_torchvision_aux", "torchvision", "models/googlenet.py",
        ("GoogLeNet", "Inception", "InceptionAux", "BasicConv2d"),
    ),
    Peer(
        "inception_v3_aux", "torchvision", "models/inception.py",
        ("Inception3", "InceptionA", "InceptionB", "InceptionC", "InceptionD", "InceptionE", "InceptionAux",
         "BasicConv2d"),
    ),
    Peer(
        "densenet121", "torchvision", "models/densenet.py",
        ("_DenseLayer", "_DenseBlock", "_Transition", "DenseNet", "_densenet"),
    ),
    Peer("mobilenet_v2", "torchvision", "models/mobilenetv2.py", ("InvertedResidual", "MobileNetV2")),
    Peer(
        "mobilenet_v1", "keras", "src/applications/mobilenet.py",
        ("MobileNet", "_conv_block", "_depthwise_conv_block"),
    ),
    Peer(
        "nasnet_a_mobile", "keras", "src/applications/nasnet.py",
        ("NASNet", "NASNetMobile", "_separable_conv_block", "_adjust_block", "_normal_a_cell",
         "_reduction_a_cell"),
    ),
)  # fmt: skip


def spec_lines(name: str) -> tuple[int, int]:
    """Lines of a spec without its claims, and of all that it uses."""
    texts = files_of(name)
    own = _code_of_spec(texts.pop(f"{name}.cnn"))
    used = sum(map(_code_of_spec, texts.values()))
    return own, used + _std_lines(files_of(name))


def _code_of_spec(text: str) -> int:
    """Lines that are neither blank, nor comments, nor claims.

    >>> _code_of_spec("# VGG\\ninput 3x8x8\\n\\nconv3-8  # one\\nexpect params > 0\\n")
    2
    """
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return sum(bool(line) and not line.startswith("expect ") for line in lines)


def _std_lines(files: dict[str, str]) -> int:
    """Lines of the blocks of std that some files use, those that they use in turn included."""
    blocks = {
        statement.name: statement.span.text
        for path in sorted(STD.glob("*.cnn"))
        for statement in parse(read_source(path)).statements
        if isinstance(statement, s.Block)
    }
    waiting = [
        used.name
        for name in files
        for statement in parse(read_source(SPECS / name)).statements
        if isinstance(statement, s.Use) and not statement.is_file
        for used in statement.names
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in blocks if re.search(rf"\b{other}\b", blocks[name])]
    return sum(_code_of_spec(blocks[name]) for name in found)


def python_lines(source: str, names: tuple[str, ...]) -> int:
    """Lines of code in some definitions of a file. Raises ValueError where one is missing.

    >>> python_lines('def f():\\n    "text"\\n\\n    return 1  # one\\n\\ndef g(): ...\\n', ("f",))
    2
    """
    tree = ast.parse(source)
    definitions = {name: node for node in tree.body for name in _names(node)}
    missing = [name for name in names if name not in definitions]
    if missing:
        raise ValueError(f"no definition of {', '.join(missing)}")
    code = _code_lines(source) - _docstring_lines(tree)
    spans = [definitions[name] for name in names]
    return sum(len(code & set(range(node.lineno, (node.end_lineno or 0) + 1))) for node in spans)


def _names(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
    return ()


def _code_lines(source: str) -> set[int]:
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        line
        for token in tokens if token.type not in blank
        for line in range(token.start[0], token.end[0] + 1)
    }  # fmt: skip


def _docstring_lines(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            found |= set(range(text.lineno, (text.end_lineno or 0) + 1))
    return found


def folder_of(package: str) -> Path | None:
    """Where a package is installed, without importing it; None where it is not."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found is not None and found.origin else None


def main() -> None:
    """Print the table in Markdown."""
    print("| network | spec | with blocks | elsewhere | lines there | ratio |")
    print("|---|--:|--:|---|--:|--:|")
    for peer in PEERS:
        own, used = spec_lines(peer.spec)
        row = f"| {peer.spec} | {own} | {own + used} | {peer.package} |"
        folder = folder_of(peer.package)
        if folder is None:
            print(f"{row} not installed | |")
            continue
        theirs = python_lines((folder / peer.file).read_text(encoding="utf8"), peer.names)
        print(f"{row} {theirs} | {theirs / (own + used):.1f} |")


if __name__ == "__main__":
    main()
