"""Lines and tokens of a spec against those of the same network in torchvision, timm or Keras: `python -m benchmarks.lines`.

Counted are lines with code on them: no blank lines, comments or docstrings. A token is a run of letters, digits and
`_`, or any other printed character, in every language alike: `conv3-64` are three, `nn.Conv2d` too. Of a
spec those are its own, without the claims, and those of all blocks that it uses, std's
too. Of Python they are the definitions named here, without imports, weights,
and the helpers that every network of the library shares. Of timm's strings and Ultralytics' YAML the layers that they
name are coded elsewhere and are not counted, while the spec's blocks are.
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
    strings: bool = False
    """Whether it names layers that are coded elsewhere."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much code there is."""

    lines: int
    tokens: int

    def __add__(self, other: Size) -> Size:
        return Size(self.lines + other.lines, self.tokens + other.tokens)


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
    Peer(
        "mobilenet_v3_large", "torchvision", "models/mobilenetv3.py",
        ("InvertedResidualConfig", "InvertedResidual", "MobileNetV3", "_mobilenet_v3_conf", "_mobilenet_v3"),
    ),
    Peer(
        "efficientnet_b0", "torchvision", "models/efficientnet.py",
        ("_MBConvConfig", "MBConvConfig", "MBConv", "EfficientNet", "_efficientnet", "_efficientnet_conf"),
    ),
    Peer(
        "convnext_tiny", "torchvision", "models/convnext.py",
        ("LayerNorm2d", "CNBlock", "CNBlockConfig", "ConvNeXt", "_convnext", "convnext_tiny"),
    ),
    Peer(
        "vit_b_16", "torchvision", "models/vision_transformer.py",
        ("MLPBlock", "EncoderBlock", "Encoder", "VisionTransformer", "_vision_transformer", "vit_b_16"),
    ),
    Peer(
        "visformer_small", "timm", "models/visformer.py",
        ("SpatialMlp", "Attention", "Block", "Visformer", "visformer_small"),
    ),
    Peer("efficientnet_b0", "timm", "models/efficientnet.py", ("_gen_efficientnet",), strings=True),
    Peer("mobilenet_v2", "timm", "models/efficientnet.py", ("_gen_mobilenet_v2",), strings=True),
    Peer("mobilenet_v3_large", "timm", "models/mobilenetv3.py", ("_gen_mobilenet_v3",), strings=True),
)  # fmt: skip
COUNTED = {("yolov8n", "ultralytics"): Size(28, 396)}
"""What is not installed here, by the same rule: ultralytics/cfg/models/v8/yolov8.yaml at 023641f, its line of scale n alone."""


def spec_sizes(name: str) -> tuple[Size, Size]:
    """A spec without its claims, and all that it uses."""
    texts = files_of(name)
    own = _code_of_spec(texts.pop(f"{name}.cnn"))
    used = sum(map(_code_of_spec, texts.values()), Size(0, 0))
    return own, used + _std_sizes(files_of(name))


def _tokens(line: str) -> int:
    """
    >>> _tokens("a: conv3-64/2 -> nn.Conv2d(3)")
    15
    """
    return len(re.findall(r"\w+|[^\w\s]", line))


def _code_of_spec(text: str) -> Size:
    """What is neither blank, nor comments, nor claims.

    >>> _code_of_spec("# VGG\\ninput 3x8x8\\n\\nconv3-8  # one\\nexpect params > 0\\n")
    Size(lines=2, tokens=5)
    """
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("expect ")]
    return Size(len(kept), sum(map(_tokens, kept)))


def _std_sizes(files: dict[str, str]) -> Size:
    """The blocks of std that some files use, those that they use in turn included."""
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
    return sum((_code_of_spec(blocks[name]) for name in found), Size(0, 0))


def python_size(source: str, names: tuple[str, ...]) -> Size:
    """The code in some definitions of a file. Raises ValueError where one is missing.

    >>> python_size('def f():\\n    "text"\\n\\n    return 1  # one\\n\\ndef g(): ...\\n', ("f",))
    Size(lines=2, tokens=7)
    """
    tree = ast.parse(source)
    definitions = {name: node for node in tree.body for name in _names(node)}
    missing = [name for name in names if name not in definitions]
    if missing:
        raise ValueError(f"no definition of {', '.join(missing)}")
    code = _code_lines(source) - _docstring_lines(tree)
    spans = [definitions[name] for name in names]
    kept = [code & set(range(node.lineno, (node.end_lineno or 0) + 1)) for node in spans]
    lines = _without_comments(source).splitlines()
    return Size(sum(map(len, kept)), sum(_tokens(lines[i - 1]) for rows in kept for i in rows))


def _without_comments(source: str) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


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


def rows() -> list[str]:
    """The lines of the table, in Markdown."""
    out = [
        "| network | here | with its blocks | elsewhere | there | there / here |",
        "|---|--:|--:|---|--:|--:|",
    ]
    for peer in PEERS:
        folder = folder_of(peer.package)
        if folder is not None:
            theirs = python_size((folder / peer.file).read_text(encoding="utf8"), peer.names)
            place = f"{peer.package}, {'strings' if peer.strings else 'PyTorch'}"
            out.append(_row(peer.spec, place if peer.package != "keras" else "Keras", theirs))
    for (spec, _), theirs in COUNTED.items():
        out.append(_row(spec, "Ultralytics, YAML", theirs))
    return out


def _row(spec: str, place: str, theirs: Size) -> str:
    own, used = spec_sizes(spec)
    whole = own + used
    ratios = f"{theirs.lines / whole.lines:.1f}, {theirs.tokens / whole.tokens:.1f}"
    sizes = [f"{size.lines}, {size.tokens:,}" for size in (own, whole, theirs)]
    return f"| {spec} | {sizes[0]} | {sizes[1]} | {place} | {sizes[2]} | {ratios} |"


def main() -> None:
    """Print the table in Markdown: lines, then tokens."""
    print("\n".join(rows()))


if __name__ == "__main__":
    main()
