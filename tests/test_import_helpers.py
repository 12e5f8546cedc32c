"""Modules of the helper classes that cnnc writes are one layer each, where their text is the helper's, and only there."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from cnnc.backends.pytorch import to_pytorch
from cnnc.compiler.build import build
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.importer.against import difference
from cnnc.importer.importing import flat_spec
from cnnc.importer.torch_trace import trace_with_heads
from tests.import_oracle import torch

SPECS = {
    "unpool": "input 4x8x8\na: maxpool3/2(pad=1, ceil=yes) -> conv1-4(act=none) -> unpool(of=a)",
    "unpool1d": "input 4x9\na: maxpool3/2 -> tanh -> unpool(of=a)",
    "unpool of its own": "input 4x8x8\nmaxpool -> a: maxpool\nb: tanh\nb -> unpool(of=a)",
    "stn": "input 2x8x8\nstn([conv3-4(act=none) -> fc-5])",
    "stn of a map": "input 2x8x8\nstn([conv3-4(act=none)], mode=nearest, border=reflection, size=5x6, align_corners=yes)",
    "dropconnect": "input 12\nfc-8(dropconnect=0.25, bias=no) -> fc-3(dropconnect=0.5, act=none)",
    "rbf": "input 12\nfc-8(act=tanh) -> rbf-3",
    "rbf learnt": "input 12\nfc-8(act=tanh) -> rbf-3(trainable=yes)",
    "subsample": "input 4x9x8\nsubsample3x2/2x1(pad=1x0) -> conv1-2(act=none)",
    "table": 'input 3x9x9\nconv3x5-2/2(table="10,11,01", pad=((0, 1), (2, 1)), bias=no, act=none, dilation=1)',
    "lstm": "input 6x9\nlstm-5(layers=2, dropout=0.25) -> linear-4 -> lstm-3(bidirectional=yes, bias=no)",
    "gru": "input 6x9\ngru-5(layers=2, bidirectional=yes)",
    "sepconv": "input 3x9x8\nsepconv3-4/2 -> sepconv5x3-6(bias=no, dilation=2, multiplier=2, pad=4x1, act=none)",
    "sepconv, uneven": "input 3x9x8\nsepconv3x2-4(pad=((0, 1), (2, 1)), act=none)",
    "sepconv of lines": "input 3x9\nsepconv3-4(pad=valid) -> sepconv4-5(pad=same_tf, act=none)",
    "means of uneven borders": "input 3x9x8\navgpool3/2(pad=((0, 1), (1, 0)), ceil=yes) -> tanh",
    "same_tf": "input 3x9x8\navgpool3/2(pad=same_tf, count_pad=no) -> avgpool2(pad=same_tf)",
    "tconv, uneven": "input 3x9x8\ntconv3x4-4/2(pad=((0, 1), (2, 1)), output_pad=1, groups=1, bias=no)",
    "capsules": "input 16x4x4\nsquash(4) -> capsule5-6(of=4, routing=2) -> capsmask(6) -> capslength(3)",
    "capsules of a vector": "input 16\ncapsule5-6 -> capsule3-2(of=6)",
}


def _graph(body: str) -> Any:
    return build(parse(Source("net.cnn", f"model net\n{body}\n")), stem="net")


@pytest.mark.parametrize("name", SPECS)
def test_what_helpers_are_written_for_is_read_again(name: str) -> None:
    from cnnc.backends.pytorch.runtime import module

    graph = _graph(SPECS[name])
    shapes = [tuple(map(int, graph.nodes[i].out)) for i in graph.inputs.values()]
    made = flat_spec(trace_with_heads(module(graph), shapes, "net"))
    assert difference(graph, made.graph) is None


def _loaded(text: str, folder: Path) -> Any:
    file = folder / "written.py"
    file.write_text(text, encoding="utf8")
    loaded = types.ModuleType(f"written{abs(hash(folder))}")
    loaded.__file__ = str(file)
    sys.modules[loaded.__name__] = loaded
    exec(compile(text, str(file), "exec"), vars(loaded))
    return loaded


def _leaves(model: Any) -> list[str]:
    from cnnc.importer.torch_helpers import leaf

    return [one.op for child in model.modules() if (one := leaf(child, {})) is not None]


WRITTEN = _graph("input 4x8x8\na: maxpool -> tanh -> unpool(of=a)")


def test_a_file_that_was_written_is_taken(tmp_path: Path) -> None:
    assert _leaves(_loaded(to_pytorch(WRITTEN), tmp_path).Net()) == ["cnnc_unpool"]


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (".scatter_add(2, switches", ".scatter(2, switches"),
        ("below.detach()", "below"),
        ("class Unpool(nn.Module)", "class Unpool(nn.Sequential)"),
        ("class Net(", "torch = __import__('types').SimpleNamespace(**vars(torch))\n\n\nclass Net("),
        ("class Net(", "Unpool.forward = lambda self, x, below: below\n\n\nclass Net("),
    ],
)
def test_a_changed_text_is_no_helper(was: str, now: str, tmp_path: Path) -> None:
    text = to_pytorch(WRITTEN)
    assert text.count(was) == 1
    assert _leaves(_loaded(text.replace(was, now), tmp_path).Net()) == []


def test_a_changed_module_is_no_helper(tmp_path: Path) -> None:
    loaded = _loaded(to_pytorch(WRITTEN), tmp_path)
    hooked, patched, other = (loaded.Net() for _ in range(3))
    for model in (hooked, patched, other):
        (unpool,) = (m for m in model.modules() if type(m).__name__ == "Unpool")
        if model is hooked:
            unpool.pool.register_forward_hook(lambda module, x, y: None)
        elif model is patched:
            unpool.forward = lambda x, below: below
        else:
            unpool.pool = torch.nn.MaxPool2d(2, dilation=2, return_indices=True)
    assert [_leaves(model) for model in (hooked, patched, other)] == [[], [], []]
