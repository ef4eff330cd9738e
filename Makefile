# memlake: `make demo` and `make test` do everything on a machine with Python 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export HF_HUB_OFFLINE := 1
export PYTHONWARNINGS := ignore

.PHONY: help demo test histories exactness check ui bench crash-table format clean

help:
	@echo "make demo    install, build the example lake through its three dates, search it and ask it"
	@echo "make ui      open the Dagster UI of the example lake"
	@echo "make test    install the development tools and run the tests"
	@echo "make histories  random histories against a rebuild, crashes, full disks, several processes, real datasets, a model's replies"
	@echo "make exactness  thousands of random histories against a rebuild (hours)"
	@echo "make check   formatting, lint, types, import contract, Dagster definitions"
	@echo "make bench   the benchmarks of benchmarks/README.md (some minutes)"
	@echo "make crash-table  kill a build at every fault point while another process reads; print what became of it"
	@echo "make format  format the code"
	@echo "make clean   remove the example lake and the environment"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' \
		|| { echo "memlake needs Python 3.11 or newer; name one with: make PYTHON=python3.11"; exit 1; }
	@echo "== Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== Installing memlake and what it needs into $(VENV) (some minutes the first time)"
	@$(INSTALL) --editable '.[server]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.installed
	@echo "== Installing the development tools into $(VENV)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@echo "== Building the example lake in .demo, one snapshot for each date of the example corpus"
	@$(BIN)/python examples/replay.py --build
	@echo; echo "== memlake status"
	@$(BIN)/memlake status
	@echo; echo "== memlake snapshots list"
	@$(BIN)/memlake snapshots list
	@echo; echo "== memlake search 'nitrile O-ring connector lot' -k 2"
	@$(BIN)/memlake search 'nitrile O-ring connector lot' -k 2
	@echo "== memlake search 'How often must service account passwords be rotated?' -k 1"
	@$(BIN)/memlake search 'How often must service account passwords be rotated?' -k 1
	@echo "== ... and as of the first date: --as-of 2026-01-15"
	@$(BIN)/memlake search 'How often must service account passwords be rotated?' -k 1 --as-of 2026-01-15
	@echo "== memlake ask 'What caused the outage of Node Birch?'"
	@$(BIN)/memlake ask 'What caused the outage of Node Birch?'
	@echo; echo "Your turn: $(BIN)/memlake --help. The Dagster UI of this lake: make ui"

ui: $(VENV)/.installed
	@test -e .demo/reached || $(BIN)/python examples/replay.py --build
	@$(BIN)/memlake ui

test: $(VENV)/.installed-dev
	@echo "== Running the tests"
	@$(BIN)/python -m pytest -n 2 --dist worksteal

histories: $(VENV)/.installed-dev
	@echo "== Running random histories, crashes, full disks and several processes"
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m histories

exactness: $(VENV)/.installed-dev
	@echo "== Running long random histories against a rebuild"
	@$(BIN)/python -m pytest tests/test_exactness.py -n 2 --dist worksteal -m histories \
		--timeout=0 --hypothesis-profile=long

check: $(VENV)/.installed-dev
	@echo "== Formatting and lint"
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@echo "== Types"
	@$(BIN)/mypy
	@echo "== Import contract"
	@$(BIN)/lint-imports
	@echo "== Dagster definitions"
	@mkdir -p $(VENV)/dagster && cp pipelines/dagster.yaml $(VENV)/dagster/
	@DAGSTER_HOME=$(CURDIR)/$(VENV)/dagster $(BIN)/dg check defs
	@DAGSTER_HOME=$(CURDIR)/$(VENV)/dagster $(BIN)/dagster definitions validate -w workspace.yaml

bench: $(VENV)/.installed-dev
	@$(BIN)/python benchmarks/build.py
	@$(BIN)/python benchmarks/replay.py
	@$(BIN)/python benchmarks/incremental.py
	@$(BIN)/python benchmarks/query.py
	@$(BIN)/python benchmarks/pagerank.py
	@$(BIN)/python benchmarks/bank.py
	@$(BIN)/python benchmarks/compiling.py
	@$(BIN)/python benchmarks/extraction.py
	@$(BIN)/python benchmarks/indexing.py
	@$(BIN)/python benchmarks/duplicates.py
	@$(BIN)/python benchmarks/evaluate.py

crash-table: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n 2 -m histories tests/test_crash.py --crash-table

format: $(VENV)/.installed-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf .demo $(VENV)
