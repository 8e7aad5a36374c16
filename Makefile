# Everything runs in .venv, which the first command creates; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# MONAI Label and MONAI Deploy cannot share an environment with the package's own dependencies
LABEL := .venv-label
DEPLOY := .venv-deploy
# processes that run tests side by side
JOBS ?= 2

.PHONY: demo demo-full test test-label test-deploy lint types unit bench clean

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope

test-label: $(LABEL)/.installed
	$(LABEL)/bin/python -m pytest tests/apps/label

test-deploy: $(DEPLOY)/.installed
	ulimit -s 32768; $(DEPLOY)/bin/python -m pytest tests/apps/deploy

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/assignment.py
	$(BIN)/python benchmarks/matching.py
	$(BIN)/python benchmarks/loss.py
	$(BIN)/python benchmarks/slices.py

clean:
	rm -rf $(VENV) $(LABEL) $(DEPLOY) demo_output build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# a stamp for each set of extras, renewed when setup.py changes
$(VENV)/.installed-%: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[$*]"
	touch $@

$(LABEL)/.installed: requirements/label.txt
	$(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements/label.txt
	$(LABEL)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@

$(DEPLOY)/.installed: requirements/deploy.txt lvm_med_monai/apps/deploy/requirements.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements/deploy.txt
	$(DEPLOY)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@
