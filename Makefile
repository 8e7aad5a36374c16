# Everything runs in .venv, which the first command creates; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-full test lint types unit bench clean

demo: $(VENV)/.installed-demo
	$(BIN)/python -m demo

demo-full: $(VENV)/.installed-demo
	$(BIN)/python -m demo --full --output demo_output/full

test: lint types unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/assignment.py
	$(BIN)/python benchmarks/matching.py
	$(BIN)/python benchmarks/loss.py
	$(BIN)/python benchmarks/slices.py

clean:
	rm -rf $(VENV) demo_output build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# a stamp for each set of extras, renewed when setup.py changes
$(VENV)/.installed-%: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[$*]"
	touch $@
