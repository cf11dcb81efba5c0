# make setup | test | test-all | durations | mutate | demo | docs | bench | check | format | numbers | figures |
# links | notebooks | release | rehearsal | clean

BIN := .venv/bin
# Test processes beside each other. In a whole run each grows to 6 or 7 GB: take 1 if memory is short.
WORKERS ?= 2
# For instance: make test PYTEST_OPTIONS=tests/flows
PYTEST_OPTIONS ?=

# TensorFlow's start-up notes are no news here.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup test test-all durations mutate demo docs bench check format numbers figures links notebooks release \
	rehearsal clean

help:
	@echo "make setup     build .venv with the tested versions (the others do it by themselves)"
	@echo "make demo      train on the SIR model, then infer from real case counts: runs/sir"
	@echo "make docs      build the documentation: docs/_build/html/index.html"
	@echo "make links     ask for each address that the documentation names: needs the web"
	@echo "make bench     compare with BayesFlow and sbi, in environments of their own: hours; goes on where it was stopped"
	@echo "make test      check, then run all tests but slow ones"
	@echo "make test-all  check, then run all tests: an hour and more"
	@echo "make durations the same, and write how long each takes: tests/durations.csv decides which are slow"
	@echo "make mutate    change the code in 150 places, one at a time: do tests notice? An hour; goes on if stopped"
	@echo "make check     formatting, lint, types and the numbers of pages"
	@echo "make format    format, and repair what ruff can repair"
	@echo "make numbers   fill numbers and tables of README, documentation and results from their CSV files; draw figures"
	@echo "make figures   draw figures anew for which CSV files suffice"
	@echo "make notebooks the tutorials as notebooks: build/notebooks"
	@echo "make release   build sdist and wheel of the last commit, twice, and compare: dist/"
	@echo "make rehearsal install the wheel into a fresh environment, and use it as a stranger would: some minutes"
	@echo "make clean     remove caches and build products, not .venv or runs"

setup:
	@bash scripts/setup.sh

# Each test process keeps to one thread, so that they don't fight over the cores, and shares a GPU's memory if there is
# one. A file's tests stay in one process and so share its trained networks. Files start in the order of
# tests/conftest.py, not by their numbers of tests.
test test-all durations: export TF_NUM_INTRAOP_THREADS ?= 1
test test-all durations: export OMP_NUM_THREADS ?= 1
test test-all durations: export TF_FORCE_GPU_ALLOW_GROWTH ?= true
PYTEST := $(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test: check
	$(PYTEST) -m "not slow" $(PYTEST_OPTIONS)

test-all: check
	$(PYTEST) $(PYTEST_OPTIONS)

durations: setup
	$(PYTEST) -p tests.helpers.durations $(PYTEST_OPTIONS)

# OPTIONS=--again runs those that survived once more.
mutate: setup
	TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 nice $(BIN)/python scripts/mutate.py $(OPTIONS)

demo: setup
	$(BIN)/bayesinn run sir --exact --output runs/sir --resume

# Warnings are errors. OPTIONS=-E builds everything anew.
docs: setup
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder html $(OPTIONS) docs docs/_build/html

# Needs the web.
links: setup
	$(BIN)/python -m sphinx --keep-going --builder linkcheck docs docs/_build/links

bench: setup
	benchmarks/peers/environments.sh
	$(BIN)/python benchmarks/peers/run.py

# Columns of code in pages: as many as the documentation shows on a laptop.
PAGES := git ls-files -z '*.md' | xargs -0 $(BIN)/ruff format --line-length 88

check: setup
	$(BIN)/ruff format --check
	$(PAGES) --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m docs.numbers --check

format: setup
	$(BIN)/ruff format
	$(PAGES)
	$(BIN)/ruff check --fix

numbers: figures
	$(BIN)/python -m docs.numbers

figures: setup
	$(BIN)/python -m docs.figures

notebooks: setup
	$(BIN)/python -m docs.pages.execute --notebooks build/notebooks

RELEASE := build/release/bin/python
release: setup
	test -x build/release/bin/twine || ($(BIN)/python -m venv build/release && \
		$(RELEASE) -m pip install --quiet --constraint constraints.txt build 'setuptools>=77' twine)
	$(RELEASE) -m scripts.release build

# OPTIONS=--lowest takes the versions of constraints-lowest.txt, OPTIONS=--newest the newest, and writes them down.
PYTHONS ?= $(shell bash scripts/setup.sh find)
rehearsal:
	$(RELEASE) -m scripts.release try $(PYTHONS) $(OPTIONS)

clean:
	rm -rf build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
