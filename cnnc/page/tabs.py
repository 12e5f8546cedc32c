"""What each tab of the page shows of an analysis, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from cnnc.live.engine import Analysis

Json = dict[str, Any]
Tab = Callable[[Analysis, Analysis | None, Json], Json]


def _graph(found: Analysis) -> Any:
    assert found.graph is not None
    return found.graph


def diagram(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """Boxes, frames and arrows, as the report has them."""
    from cnnc.backends.report.record import record

    return {"diagram": record(_graph(found))}


def volumes(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """Feature maps as boxes in space."""
    from cnnc.backends.volumes import svg

    return {"svg": svg(_graph(found), "dark" if asked.get("dark") else "light")}


def layers(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """The table of layers."""
    from cnnc.backends.report.table import table_html
    from cnnc.compiler.summary import summarise

    return {"html": table_html(_graph(found), summarise(_graph(found)))}


def field(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """The receptive field of every layer."""
    from cnnc.backends.report.record import fields

    return {"fields": fields(_graph(found))}


def costs(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """Where parameters, MACs and the like go; the claims with their verdicts; the rest of the facts."""
    from cnnc.backends.report.charts import charts_html
    from cnnc.backends.table.formats import facts
    from cnnc.compiler.summary import summarise

    summary = summarise(_graph(found))
    _, *lines = facts(summary)
    claims = [
        f'<li class="{"holds" if claim.holds else "fails"}"><code>{escape(claim.text)}</code> '
        f"{'holds' if claim.holds else escape(claim.failure().message)}</li>"
        for claim in found.claims
    ]
    html = f"<ul class='facts'>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
    html += f"<ul class='claims'>{''.join(claims)}</ul>" if claims else ""
    return {"html": f"{html}<div class='charts'>{charts_html(summary)}</div>"}


def code(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """The PyTorch module."""
    from cnnc.backends.pytorch import to_pytorch
    from cnnc.backends.report.code import python_html

    text = to_pytorch(_graph(found))
    return {"html": f"<pre class='code'>{python_html(text)}</pre>", "code": text}


def difference(found: Analysis, pinned: Analysis | None, asked: Json) -> Json:
    """What changed since the pinned version."""
    from cnnc.backends.table.diff import render_diff
    from cnnc.compiler.diff import diff

    if pinned is None:
        return {
            "missing": "Nothing is pinned: “Pin” keeps the network as it is now, and this tab tells what changes from then on."
        }
    if pinned.graph is None:
        return {"missing": "What was pinned is no network."}
    return {"html": f"<pre class='code'>{escape(render_diff(diff(pinned.graph, _graph(found))))}</pre>"}


TABS: Mapping[str, Tab] = {
    "diagram": diagram, "volumes": volumes, "layers": layers, "field": field, "costs": costs, "code": code,
    "difference": difference,
}  # fmt: skip
"""In the order of the page."""
