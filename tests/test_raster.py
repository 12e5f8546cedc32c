"""PNG and PDF of the pictures that are drawn without Graphviz."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnc.backends.vector.raster import rendered
from cnnc.cli.commands import cnnc

PICTURES = {
    "volumes": ["zoo:lenet5", "--style", "volumes"],
    "table": ["zoo:vgg11", "zoo:vgg16", "--style", "table"],
    "field": ["zoo:vgg16", "--rf", "features,3,3"],
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_picture_is_a_png_and_a_pdf(kind: str, tmp_path: Path) -> None:
    sizes = []
    for ending, start in (("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-")):
        file = tmp_path / f"picture.{ending}"
        run = CliRunner().invoke(cnnc, ["draw", *PICTURES[kind], "-o", str(file)])
        assert run.exit_code == 0, run.output
        assert file.read_bytes().startswith(start)
        sizes.append(file.read_bytes())
    width, height = struct.unpack(">II", sizes[0][16:24])
    assert width > 300 and height > 100


def test_without_the_library_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    file = tmp_path / "a.png"
    run = CliRunner().invoke(cnnc, ["draw", *PICTURES["volumes"], "-o", str(file)])
    assert run.exit_code == 1
    assert "error E802: writing png requires CairoSVG" in run.output
    assert "hint: pip install cairosvg, or write .svg" in run.output
    assert not file.exists()


def test_the_size_is_that_of_the_drawing_at_144_dpi() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="50pt" height="20pt" viewBox="0 0 50 20"/>'
    assert struct.unpack(">II", rendered(svg, "png")[16:24]) == (100, 40)
