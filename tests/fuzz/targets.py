"""What a fuzzed text goes through; anything but a CnncError that comes out is a finding."""

from __future__ import annotations

import json
from collections.abc import Callable

from cnnc.compiler.build import build
from cnnc.compiler.expect import check_claims
from cnnc.compiler.summary import summarise, to_json
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.format import format_source
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.net import Net

MAX_LAYERS = 500
"""Of a fuzzed model: large ones take time that more inputs are better spent on. `tests/test_limits.py` has those."""
NAME = "nowhere/fuzzed.cnn"
"""The file a text is said to come from, beside which there are no others to use."""


def front(text: str) -> bool:
    """Parse and format: the formatted text means the same, and formatting it again changes nothing."""
    try:
        parse(Source(NAME, text))
    except CnncError as error:
        _told(error.diagnostics)
        return False
    formatted = format_source(Source(NAME, text))
    assert format_source(Source(NAME, formatted)) == formatted, "formatting is not stable"
    return True


def whole(text: str) -> bool:
    """Everything: elaborate, check, summary JSON, expand, draw and compile."""
    try:
        net = _net(text)
    except CnncError as error:
        _told(error.diagnostics)
        return False
    _told(net.warnings)
    claims, problems = check_claims(net.graph)
    _told((*problems, *(claim.failure() for claim in claims if not claim.holds)))
    json.dumps(to_json(summarise(net.graph)), allow_nan=False).encode()
    core = net.expand()
    assert _net(core).expand() == core, "expanding the flat core changes it"
    for step in (lambda: net.draw("dot").decode(), lambda: net.draw("mmd").decode(), lambda: compile(net.pytorch(), "net.py", "exec")):  # fmt: skip
        try:
            step()
        except CnncError as error:  # what PyTorch has no name for, or a picture of too many boxes
            _told(error.diagnostics)
    return True


def _net(text: str) -> Net:
    return Net(build(parse(Source(NAME, text)), stem="fuzzed", max_layers=MAX_LAYERS))


def _told(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Every finding can be printed, its position and all."""
    for diagnostic in diagnostics:
        rendered = diagnostic.render()
        assert "Traceback" not in rendered
        assert all(line.isprintable() or "\t" in line for line in rendered.split("\n")), (
            "a control character is printed"
        )
        rendered.encode()


TARGETS: dict[str, Callable[[str], bool]] = {"front": front, "whole": whole}
