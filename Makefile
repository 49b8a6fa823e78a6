# What a developer does with beepmesh. Needs Python >= 3.11, git, make and a C compiler; everything else goes into .venv.
#
#   make PYTHON=/path/to/python3.12 demo     use this interpreter
#   make WORKERS=4 test                      so many tests at a time

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

WORKERS ?= 2
CODE := $(wildcard beepmesh transports sync tests benchmarks simulations)
BIN := .venv/bin

# The first of these that is new enough; PYTHON=... overrules the search.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c '$(NEW_ENOUGH)' 2>/dev/null; then command -v $$python; break; fi; done)

.PHONY: help demo test kill valley histories lint format bench simulate real venv clean

help: ## this text
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: .venv/ready ## four people, one of whom carries messages he cannot read; ends by itself within a minute
	@$(BIN)/python -m beepmesh demo

test: lint ## lint, then every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q

kill: .venv/ready-dev ## 200 rounds of kill -9 in the middle of sending and syncing, 20 of a hub, six minutes (ROUNDS=50)
	BEEPMESH_KILL_ROUNDS=$(or $(ROUNDS),200) BEEPMESH_HUB_KILL_ROUNDS=$(or $(ROUNDS),20) \
		$(BIN)/python -m pytest -q -s tests/e2e/test_kill.py tests/e2e/test_hub_kill.py

valley: .venv/ready-dev ## 2,000 messages over an uplink of 50 kbit/s that is there for 60 s at a time; needs root and nft
	BEEPMESH_VALLEY_MESSAGES=2000 BEEPMESH_VALLEY_WINDOW_S=60 BEEPMESH_VALLEY_PAUSE_S=$(or $(PAUSE),240) \
		$(BIN)/python -m pytest -q -s tests/e2e/test_hub_valley.py

histories: .venv/ready-dev ## 10,000 random histories of three to six nodes, some five minutes
	BEEPMESH_HISTORIES=10000 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q tests/sync/test_histories.py

lint: .venv/ready-dev ## format, style and types, changing nothing
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/mypy $(CODE)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright $(CODE)

format: .venv/ready-dev ## put the code into the one format, and mend what can be mended mechanically
	$(BIN)/ruff format --quiet $(CODE)
	$(BIN)/ruff check --fix --quiet $(CODE)

bench: .venv/ready ## the measured figures, one JSON line per workload
	@$(BIN)/python -m benchmarks

simulate: .venv/ready-dev ## the product on virtual clocks beside epidemic with acknowledgements and the bound, a few minutes
	$(BIN)/python -m simulations suite smoke-reunion smoke-village flood-small conference \
		--routers beepmesh,epidemic+ack --workers $(WORKERS) --out simulated

real: .venv/ready ## twelve real nodes on a trace of contacts beside the simulator, four minutes; needs root
	@$(BIN)/python -m simulations.real

venv: .venv/ready-dev ## only make .venv, with everything a developer needs

clean: ## remove .venv and every cache
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv that does not start (its Python was upgraded away) or stood elsewhere (the folder was moved) is made anew.
SOUND = { $(BIN)/python -c '' && grep -qF '$(CURDIR)/.venv' $(BIN)/activate; } 2>/dev/null
$(shell $(SOUND) || rm -f .venv/made)

.venv/made: | need-python
	@if ! $(SOUND); then \
		echo "Making .venv with $(PYTHON)"; rm -rf .venv; \
		if "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then "$(PYTHON)" -m venv .venv; \
		elif "$(PYTHON)" -c 'import pip, venv' 2>/dev/null; then \
			"$(PYTHON)" -m venv --without-pip .venv; \
			"$(PYTHON)" -m pip --python $(BIN)/python install --quiet pip; \
		else \
			echo "This Python cannot make a virtual environment: its venv and ensurepip modules are missing." >&2; \
			echo "On Debian and Ubuntu: sudo apt-get install python3-venv. Or name another one: make PYTHON=..." >&2; \
			exit 1; \
		fi; \
	fi
	@touch $@

.PHONY: need-python
need-python:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(NEW_ENOUGH)'; then \
		echo "beepmesh needs Python 3.11 or newer, and $(or $(PYTHON),none of python3 to python3.14) is not." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi

# pip says what it fetches, one name a line, and nothing else unless something is wrong.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off
NAMES = sed -u -n 's/^Collecting \([A-Za-z0-9._-]*\).*/  \1/p'

.venv/ready: pyproject.toml .venv/made
	@echo "Installing what beepmesh runs on into .venv (once; about 20 MB):"
	@$(INSTALL) -e . | $(NAMES)
	@touch $@

.venv/ready-dev: pyproject.toml .venv/made
	@echo "Installing what beepmesh is built and tested with into .venv (once; about 150 MB):"
	@$(INSTALL) -e '.[dev]' | $(NAMES)
	@touch .venv/ready $@
