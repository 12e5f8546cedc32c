PYTHON ?= python3
BIN = .venv/bin

QUICK = architecture errors parse format lalr arithmetic summary cost receptive_field diff expand lock cli reference op_contract properties

.PHONY: setup check quick test bench docs tables pictures zoo live site vsix

setup:  ## A virtual environment with everything, at known-good versions.
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e '.[torch,dev]'
	$(BIN)/pip install --no-deps -c constraints.txt torchvision pillow triton torchinfo
	$(BIN)/pip install -c constraints.txt keras

check:  ## What must be green: lint, format, types, tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

quick:  ## The tests to run after every change: under a minute on two cores.
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(foreach name,$(QUICK),$(wildcard tests/test_$(name).py))

test:
	$(BIN)/python -m pytest

bench:  ## Ratios against peers, in one run.
	$(BIN)/python -m benchmarks

docs:  ## The page that is made from the layers.
	$(BIN)/python -m cnnc.reference > docs/layers.new && mv docs/layers.new docs/layers.md

zoo:  ## The page of the networks that ship, and their pictures; needs Graphviz.
	$(BIN)/python docs/zoo/make.py

pictures:  ## The pictures of docs/pictures.md; needs Graphviz.
	$(BIN)/python docs/pictures/make.py

tables:  ## The parser's tables, made from the grammar by lark.
	$(BIN)/python -m cnnc.dsl.make_tables > cnnc/dsl/tables.new && mv cnnc/dsl/tables.new cnnc/dsl/tables.py

live:  ## The editor of `cnnc live`, from npm's packages.
	cd editors/page && npm install --no-audit --no-fund && npm run build

site:  ## The web site, for any static host: documentation, zoo and playground, into site/. Needs Node.js and npm.
	$(BIN)/pip install -q -c constraints.txt -e '.[site]'
	$(BIN)/python docs/site/make.py site

vsix:  ## The extension for VS Code: editors/vscode/dist/cnnc.vsix, from npm's packages.
	cd editors/vscode && npm install --no-audit --no-fund && npm run package
