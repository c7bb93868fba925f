# Two commands do everything on a fresh machine with Python 3.11 or later: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
INSTALLED := $(VENV)/.installed
BENCH ?= .venv-bench
PEERS := transformers==5.23.0 flash-linear-attention==0.6.0 mctx==0.0.71 jax==0.10.2
THINK := $(BIN)/think
DEMO ?= runs/demo
PROMPT ?= Once upon a time
WORKERS ?= 2

.PHONY: help demo check format test bench bench-setup clean install

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv with the exact versions of constraints.txt

# The stamp is younger than what it was made from, so a second run installs nothing.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { \
		echo "think needs Python 3.11 or later, and none is on the path." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# An interrupted demo goes on where it stopped. The report is made also when a gate fails; the exit code is the gates'.
demo: $(INSTALLED) ## Train a tiny hybrid on the embedded corpus, judge it, and show the report
	$(THINK) data pack --preset cpu_smoke
	$(THINK) train stage1 --preset cpu_smoke --out $(DEMO) $$(test ! -e $(DEMO) || echo --resume)
	code=0; $(THINK) gate g0 g1 g2 g3 --run $(DEMO) || code=$$?; \
	$(THINK) runs report $(DEMO) --prompt "$(PROMPT)" && \
	$(THINK) runs show $(DEMO) && \
	$(THINK) generate --run $(DEMO) --prompt "$(PROMPT)" --seed 1 && \
	exit $$code

check: $(INSTALLED) ## Format, lint, types, import layers and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not slow" -n $(WORKERS)

format: $(INSTALLED) ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(INSTALLED) ## All tests
	$(BIN)/pytest -n $(WORKERS)

# Peers live apart: what they depend on must not decide what think is tested with.
bench-setup: $(BENCH)/.installed ## Create .venv-bench: think and the peers that it is measured against

$(BENCH)/.installed: pyproject.toml constraints.txt Makefile
	@test -n "$(PYTHON)" || { echo "think needs Python 3.11 or later, and none is on the path." >&2; exit 1; }
	test -x $(BENCH)/bin/python || "$(PYTHON)" -m venv $(BENCH)
	PIP_CONSTRAINT=constraints.txt $(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -e . $(PEERS)
	touch $@

# With the peers where they are installed, without them elsewhere; scripts that need arguments are run by hand.
bench: $(INSTALLED) ## Measure; each script prints a table and writes JSON to benchmarks/results
	$$(test -e $(BENCH)/.installed && echo $(BENCH)/bin/python || echo $(BIN)/python) -m think bench suite all

clean: ## Remove what the commands above made, but no run of yours
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache $(DEMO)
	find think tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
