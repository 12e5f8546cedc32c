"""Names that the compiler makes do not meet each other, nor labels: specs load, and so do their expansions."""

from __future__ import annotations

import ast

import pytest

import cnnc
from cnnc.backends.pytorch.helpers import helper_names, imported_names

FIT = {
    "counters of kinds that end in a digit": "[conv3-4]*61 -> conv3-4(act=relu6) -> conv3-3\n",
    "counters of blocks": "block b = conv3-4\nblock b1 = conv3-4\nblock b1_ = conv3-4\n[b]*11 -> b1 -> [b1_]*11\n",
    "a layer of a shared module called as a layer word": "shared t = [[relu]*6 -> relu6 + id]\nt -> conv3-3\n",
    "a label in a shared module called as what flows in": (
        "shared t = [relu -> inflow: conv3-4 -> conv3-4 + conv3-4]\nt -> conv3-3 -> t\n"
    ),
    "a label called as what flows out of a shared module": (
        "t_out: conv3-3\nshared t = conv3-3\na: t\nb: [t + a] -> t -> c: conv3-3\n[a + b + c + t_out]\n"
    ),
    "an output called as what flows out of a shared module": (
        "shared t = conv3-3\nt -> conv3-3 -> x: t\nid -> conv3-3 -> t_out: relu\noutput t_out, x\n"
    ),
    "flattens, made and written": "block f = [flatten -> fc-4 -> flatten + fc-4 -> flatten]\nf -> flatten\n",
    "labels that are words": '"a b": conv3-4 -> "if": relu -> "conv3-4": conv3-5\n["a b" | "if" | "conv3-4"]\n',
}


@pytest.mark.parametrize("text", FIT.values(), ids=FIT)
def test_made_names_leave_room(text: str) -> None:
    net = cnnc.parse(f"input 3x8x8\n{text}")
    core = net.expand()
    again = cnnc.parse(core)
    assert again.expand() == core
    assert {node.module for node in again.graph.nodes} == {node.module for node in net.graph.nodes}
    assert list(again.graph.outputs) == list(net.graph.outputs)
    assert again.params == net.params


@pytest.mark.parametrize(
    "text",
    [
        "conv3-4 -> fc1: id\nfc-2 -> q: id\noutput q, fc1\n",
        "conv3-4(norm=bn) -> conv1: id\nfc-2 -> q: id\noutput q, conv1\n",
        "conv3-4 -> a.conv1: id\na: [conv3-4 + conv3-4] -> [id + a.conv1]\n",
    ],
)
def test_a_tap_is_not_called_as_a_counted_layer(text: str) -> None:
    with pytest.raises(
        cnnc.CnncError, match=r"E204: the label `[a-z0-9.]+` is also a name that a counter gives"
    ):
        cnnc.parse(f"input 3x8x8\n{text}")


def defined(source: str) -> list[str]:
    """The names that a file binds at its top: imports, classes, functions."""
    found: list[str] = []
    for node in ast.parse(source).body:
        inner = node.body if isinstance(node, ast.Try | ast.If) else [node]
        for each in inner:
            if isinstance(each, ast.Import | ast.ImportFrom):
                found += [alias.asname or alias.name for alias in each.names]
            elif isinstance(each, ast.ClassDef | ast.FunctionDef):
                found.append(each.name)
    return found


def spec(block: str) -> str:
    return f"input 3x16x16\nblock {block} = [conv3-8 -> bn -> relu -> conv3-8]\n{block} -> {block} -> gap -> fc-10\n"


def is_free(name: str) -> bool:
    """Whether a block can be called so: it is not the word of a layer."""
    try:
        cnnc.parse(spec(name))
    except cnnc.CnncError:
        return False
    return not name.startswith("_")


IN_FILES = {*helper_names(), *imported_names(), "path", "callable", "class_var"}


@pytest.mark.parametrize("form", [None, "inference", "checkpoint"])
@pytest.mark.parametrize("name", sorted(filter(is_free, IN_FILES)))
def test_a_block_called_as_what_the_file_has(name: str, form: str | None) -> None:
    """Its class would hide what the file imports, or a class or function that is written into it."""
    names = defined(cnnc.parse(spec(name)).pytorch(optimize=form))
    assert len(names) == len({*names}), sorted(names)
