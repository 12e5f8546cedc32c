"""The page: a template filled with what is known of a network. Nothing in it is fetched from anywhere."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from html import escape
from importlib import resources
from typing import Any

from cnnc.backends import rf_picture, volumes
from cnnc.backends.diagram.picture import FAMILY_NAMES
from cnnc.backends.diagram.theme import LOOKS
from cnnc.backends.report.charts import charts_html
from cnnc.backends.report.code import python_html, spec_html
from cnnc.backends.report.record import fields, record, to_script
from cnnc.backends.report.table import table_html
from cnnc.backends.table.formats import FOLDED, facts
from cnnc.compiler.expect import check_claims
from cnnc.compiler.graph import Graph
from cnnc.compiler.summary import CONVENTIONS, summarise
from cnnc.dsl.diagnostics import CnncError, fail

SCRIPTS = ("order.js", "layout.js", "diagram.js", "table.js", "field.js", "page.js")
"""The page's script, in the order in which its files are joined."""


def to_report(graph: Graph) -> str:
    """A self-contained HTML page about a graph.

    Parts that a network has not (the diagram of thousands of unlike layers, code that PyTorch
    cannot express) are replaced by the finding that says why.
    """
    summary = summarise(graph)
    script = "\n".join(_text(name) for name in SCRIPTS)
    title, *lines = facts(summary)
    return _filled(
        _text("page.html"),
        {
            "policy": _policy(script),
            "title": escape(graph.name),
            "style": f"{_text('style.css')}\n{kinds_css()}",
            "heading": escape(title),
            "facts": "".join(f"<li>{escape(line)}</li>" for line in lines),
            "findings": _findings(graph),
            "legend": _legend(),
            "charts": charts_html(summary),
            "volumes": _picture(lambda: volumes.svg(graph)),
            "funnel": _picture(lambda: _funnel(graph)),
            "table": table_html(graph, summary),
            "conventions": escape(FOLDED + CONVENTIONS),
            "spec": spec_html(graph.source),
            "code": _code(graph),
            "data": to_script(_data(graph)),
            "script": script,
        },
    )


def _data(graph: Graph) -> dict[str, Any]:
    try:
        drawn: Mapping[str, Any] = record(graph)
    except CnncError as error:
        drawn = {"missing": error.diagnostics[0].message}
    return {"diagram": drawn, "fields": fields(graph)}


def _picture(draw: Callable[[], str]) -> str:
    """A drawing as part of the page, or why there is none."""
    try:
        drawn = draw()
    except CnncError as error:
        return f'<p class="note">{escape(error.diagnostics[0].message)}</p>'
    return drawn[drawn.index("<svg") :]


def _funnel(graph: Graph) -> str:
    """The field of the last map that does not see the whole input, back to it."""
    shown = [field for field in fields(graph) if field["axes"] and not field["whole"]]
    if not shown:
        raise fail("E801", "no map of this network sees a part of the input only")
    return rf_picture.svg(graph, str(shown[-1]["name"]))


def _code(graph: Graph) -> str:
    from cnnc.backends.pytorch import to_pytorch

    try:
        return python_html(to_pytorch(graph))
    except CnncError as error:
        return escape("\n".join(found.render() for found in error.diagnostics))


def _findings(graph: Graph) -> str:
    """The spec's claims with their verdicts, and the warnings."""
    claims, problems = check_claims(graph)
    items = [
        f'<li class="{"holds" if claim.holds else "fails"}"><code>{escape(claim.text)}</code> '
        f"{'holds' if claim.holds else escape(claim.failure().message)}</li>"
        for claim in claims
    ]
    found = [*problems, *graph.warnings]
    claimed = f"<h2>Claims</h2><ul class='claims'>{''.join(items)}</ul>" if items else ""
    warned = "".join(f"<pre class='finding'>{escape(finding.render())}</pre>" for finding in found)
    return claimed + (f"<h2>Findings</h2>{warned}" if warned else "")


# --- the page's parts --------------------------------------------------------------------


def _text(name: str) -> str:
    return resources.files("cnnc.backends.report").joinpath(name).read_text(encoding="utf8")


_HOLE = re.compile(r"\{\{(\w+)\}\}")


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with each `{{name}}` replaced; what is put in is not looked through again."""
    holes = _HOLE.findall(template)
    assert sorted(holes) == sorted(parts), "the template and its parts differ"
    return _HOLE.sub(lambda hole: parts[hole[1]], template)


def _policy(script: str) -> str:
    """What the browser may load: this script, styles of the page itself, and nothing from elsewhere."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'"


_DASHES = {"dashed": "5 3", "dotted": "2 2"}


def kinds_css() -> str:
    """The diagram's colours and borders, those that `cnnc draw` takes."""
    rules = []
    for kind, look in LOOKS.items():
        words = look.border.split(",")
        dashes = next((f" stroke-dasharray: {_DASHES[word]};" for word in words if word in _DASHES), "")
        width = 2 if look.weight > 1 else 1.2
        rules.append(
            f".k-{kind} {{ fill: light-dark({look.light}, {look.dark}); stroke-width: {width};{dashes}\n"
            f"  --fill: light-dark({look.light}, {look.dark}); }}"
        )
    return "\n".join(rules)


def _legend() -> str:
    return "".join(
        f'<li class="k-{kind}" data-kind="{kind}">{escape(name)}</li>' for kind, name in FAMILY_NAMES.items()
    )
