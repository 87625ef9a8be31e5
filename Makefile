# Each target sets up what it needs in .venv and does nothing again when nothing changed.
#   make test PYTHON=python3.13      another interpreter
#   make test ARGS="-k rotate -x"    arguments for the tool behind the target
#   make test ARGS="-n0 --pdb"       in one process instead of one for each of up to four cores

PYTHON ?= python3
ARGS ?=
# An empty environment has no PATH; the shell would guess one, make would not.
PATH ?= /usr/local/bin:/usr/bin:/bin
export PATH
# Images of containers often set this. Without bytecode every process that a test starts compiles the library again, and
# pytest every test: half as long once more.
export PYTHONDONTWRITEBYTECODE =

ifneq ($(lastword $(MAKEFILE_LIST)),Makefile)

# Read from another directory (`make -f path/Makefile`): start again beside this file.
.DEFAULT_GOAL := help
.PHONY: help demo test test-deep test-upstream check bench docs clean
help demo test test-deep test-upstream check bench docs clean:
	@$(MAKE) --no-print-directory -C "$$(dirname "$(strip $(MAKEFILE_LIST))")" $@

else

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-deep test-upstream check bench docs clean FORCE

BIN := .venv/bin
# More processes than four would mostly start servers.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses=4 --dist worksteal
# Twice quiet: errors are shown, warnings about the caller's own pip settings are not.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 16

demo: .venv/.demo  ## watch incident A happen, and not happen
	@$(BIN)/sessionguard demo $(ARGS)

test: .venv/.dev  ## every case, fewer rounds
	@$(PYTEST) --sg-profile=ci $(ARGS)

test-deep: .venv/.dev  ## every case, as many rounds as the promises name
	@$(PYTEST) --sg-profile=deep $(ARGS)

test-upstream: .venv/.sources  ## the suites of Flask, Starlette and Django themselves, with sessionguard in place
	@$(BIN)/python -m tests.upstream $(ARGS)

check: .venv/.dev  ## ruff, mypy --strict, the import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict
	@$(BIN)/python -m pytest -q tests/architecture

bench: .venv/.dev  ## each call against the bare statement underneath
	@$(BIN)/python -m tests.benchmarks $(ARGS)

docs: .venv/.dev  ## run every example of the documentation
	@$(BIN)/python -m pytest -q tests/docs $(ARGS)

clean:  ## remove everything the other targets made
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched last, so an interrupted set-up is done again. The first one names the interpreter and this
# directory: another Python, or a moved checkout, makes .venv anew.
.venv/.python: FORCE
	@set -e; \
	python="$$(command -v "$(PYTHON)")" || { echo "make: $(PYTHON) was not found; name yours: make PYTHON=..." >&2; exit 1; }; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: sessionguard needs Python 3.11 or newer, $(PYTHON) is" \
	        "$$("$$python" -c 'import sys; print(sys.version.split()[0])'); name another: make PYTHON=python3.13" >&2; exit 1; }; \
	base="$$("$$python" -c 'import sys; print(sys._base_executable)')"; \
	identity="$$("$$base" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)') $$PWD"; \
	if [ -x $(BIN)/python ] && [ "$$(cat $@ 2>/dev/null)" = "$$identity" ]; then exit 0; fi; \
	"$$base" -m venv --clear .venv; \
	printf '%s\n' "$$identity" > $@

.venv/.demo: .venv/.python pyproject.toml requirements/build.txt requirements/demo.txt
	@$(PIP) -r requirements/build.txt -r requirements/demo.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: .venv/.demo requirements/dev.txt
	@$(PIP) -r requirements/dev.txt
	@touch $@

# Their source distributions, and what their suites import: fetched once, see tests/upstream/sources.py.
.venv/.sources: .venv/.dev requirements/upstream.txt tests/upstream/sources.txt
	@$(BIN)/python -m tests.upstream.sources
	@touch $@

endif
