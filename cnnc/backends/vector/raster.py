"""SVG to PNG and PDF, by CairoSVG, an optional dependency."""

from __future__ import annotations

import re

from cnnc.dsl.diagnostics import fail

INSTALL_HINT = "pip install cairosvg, or write .svg"
_SCALE = 2.0
"""Pixels for each point: 144 dpi, as diagrams have."""


def rendered(svg: str, format: str) -> bytes:
    """An SVG as `png` or `pdf`. Raises CnncError E802 where CairoSVG or the Cairo library is missing."""
    try:
        import cairosvg
    except (ImportError, OSError) as error:  # OSError: the library that it calls is not there
        raise fail("E802", f"writing {format} requires CairoSVG: {error}", hint=INSTALL_HINT) from None
    if format == "png":
        data: bytes = cairosvg.svg2png(svg.encode(), dpi=72, scale=_SCALE)
        return data
    data = cairosvg.svg2pdf(svg.encode(), dpi=72)
    return re.sub(rb"(/CreationDate \(D?:?)(\d+)", lambda m: m[1] + b"0" * len(m[2]), data)
