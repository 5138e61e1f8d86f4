# `make demo` shows it, `make test` proves it; both set up .venv first, and only what they need.

SHELL := /bin/sh
BIN := .venv/bin
UV ?= uv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# The tests start hundreds of processes: compiled once, the modules load in half the time.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit bench campaign format lock clean

help:
	@echo "make demo      run the demonstration (needs only the runtime requirements)"
	@echo "make test      everything a change must pass: lint, types, unit"
	@echo "make lint      ruff and the import contracts"
	@echo "make types     mypy and pyright, both strict"
	@echo "make unit      the tests, without the slow ones; says where the time went"
	@echo "make campaign  the slow tests"
	@echo "make bench     the benchmarks"
	@echo "make format    let ruff format and fix"
	@echo "make lock      resolve requirements/*.lock again (needs uv; UPGRADE=1 for newer versions)"
	@echo "make clean     remove .venv and caches"

demo: .venv/.runtime
	$(BIN)/sagabus demo

test: lint types unit

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: .venv/.dev
	$(BIN)/mypy
	$(BIN)/basedpyright

# Four at once on two cores: the tests often wait for servers and for processes. Whoever is done takes from the others.
unit: .venv/.dev
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow" --slowest 25

campaign: .venv/.dev
	$(BIN)/python -m pytest -m slow --timeout 0

bench: .venv/.runtime
	$(BIN)/sagabus bench

format: .venv/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The locks name every version and hash, and no host: docs/decisions/0001-locks-without-hosts.md.
# Versions already locked are kept; `make lock UPGRADE=1` takes the newest.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url $(if $(UPGRADE),--upgrade)
lock:
	$(COMPILE) --output-file requirements/runtime.lock pyproject.toml
	$(COMPILE) --output-file requirements/build.lock requirements/build.in
	$(COMPILE) --extra dev -c requirements/runtime.lock -c requirements/build.lock \
		--output-file requirements/dev.lock pyproject.toml requirements/build.in

clean:
	rm -rf .venv build dist .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

INSTALL = $(BIN)/python -m pip install -qq
INSTALL_SELF = $(INSTALL) --no-deps --no-build-isolation --editable .

.venv/.runtime: .venv/.made requirements/runtime.lock requirements/build.lock pyproject.toml
	$(INSTALL) --require-hashes -r requirements/runtime.lock -r requirements/build.lock
	$(INSTALL_SELF)
	@touch $@

.venv/.dev: .venv/.made requirements/dev.lock pyproject.toml
	$(INSTALL) --require-hashes -r requirements/dev.lock
	$(INSTALL_SELF)
	@touch .venv/.runtime $@

.venv/.made:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "sagabus needs Python 3.11 or newer, and found none. Install one, or: make PYTHON=/path/to/python3.11 ..." >&2; \
		exit 1; \
	fi; \
	echo "creating .venv with $$found"; \
	"$$found" -m venv .venv || "$$found" -m virtualenv -q .venv || { \
		echo "\"$$found -m venv\" failed; on Debian and Ubuntu: apt install python3-venv" >&2; \
		rm -rf .venv; \
		exit 1; \
	}
	@touch $@
