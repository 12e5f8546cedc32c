PYTHON ?= python3
BIN = .venv/bin

.PHONY: setup check test bench docs

setup:  ## A virtual environment with everything, at known-good versions.
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e '.[torch,dev]'
	$(BIN)/pip install --no-deps -c constraints.txt torchvision pillow

check:  ## What must be green: lint, format, types, tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

test:
	$(BIN)/python -m pytest

bench:  ## Ratios against peers, in one run.
	$(BIN)/python -m benchmarks

docs:  ## The page that is made from the layers.
	$(BIN)/python -m cnnc.compiler.reference > docs/layers.new && mv docs/layers.new docs/layers.md
