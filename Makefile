# Two commands do all the set-up: `make demo` runs the main job, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo

.PHONY: demo test test-all docs notebooks curves lint clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

test: .venv/ready
	$(BIN)/pytest -m "not slow and not notebook and not browser"

test-all: .venv/ready
	$(BIN)/pytest

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: .venv/ready
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/jupyter execute --inplace --kernel_name=python3 notebooks/*.ipynb

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs build site *.egg-info
