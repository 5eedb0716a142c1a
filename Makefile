# `make` alone lists the targets. Everything runs from .venv, which is made from the lock whenever the lock changed.
.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

STARTED := $(shell date +%s)
# The first Python that is new enough; name another with `make PYTHON=/path/to/python …`.
PYTHON ?= $(shell for name in python3.12 python3.11 python3.13 python3; do \
  "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo "$$name"; break; }; done)
BIN := .venv/bin
READY := .venv/.installed-from-lock
UV := $(BIN)/uv
export PYTHONPATH := $(CURDIR)
# A machine may export this; without byte code every process would compile its imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo compose-demo test test-unit test-dags test-integration test-e2e check format up down status logs env bench bench-quality lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2 }'

demo: $(READY) ## everything on this machine: data, stack, two days of retraining, a champion (some 7 minutes)
	@$(BIN)/python -m demo --started $(STARTED)

compose-demo: $(READY) ## the same on docker compose: builds, starts, retrains, verifies
	@$(BIN)/python -m deploy.compose_demo

test: $(READY) ## all tests: end to end, and beside them, where cores are free, unit, dags, integration
	@set -m  # so that an interrupt reaches each pytest, which then stops what it started
	log=$$(mktemp)
	nice -n 10 $(BIN)/python -m pytest -n 2 --dist loadfile tests/dags tests/integration tests/unit tests/docs > "$$log" 2>&1 &
	beside=$$!
	trap 'kill -INT -- -$$beside 2> /dev/null || true; wait || true; rm -f "$$log"' EXIT
	failed=0
	$(BIN)/python -m pytest tests/e2e || failed=1
	wait $$beside || failed=1
	cat "$$log"
	exit $$failed

test-unit: $(READY) ## the fast tests: no service, no network
	@$(BIN)/python -m pytest tests/unit

test-dags: $(READY) ## Dag files: they parse, they parse light, they are wired right
	@$(BIN)/python -m pytest tests/dags

test-integration: $(READY) ## one real service each: SeaweedFS, PostgreSQL
	@$(BIN)/python -m pytest tests/integration

test-e2e: $(READY) ## the embedded stack, from delivery to champion
	@$(BIN)/python -m pytest tests/e2e

check: $(READY) ## lint, format, types, layers
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy include plugins demo embedded deploy benchmarks
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m benchmarks.document --check

format: $(READY) ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

up: $(READY) ## start the embedded stack: SeaweedFS, PostgreSQL, Airflow
	@$(BIN)/python -m embedded up

down: ## stop the embedded stack, leaving no process
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m embedded down; else echo "Nothing to stop: there is no .venv."; fi

status: $(READY) ## what of the embedded stack runs, and where
	@$(BIN)/python -m embedded status

logs: $(READY) ## last lines of the stack's logs; SERVICE=scheduler for one
	@$(BIN)/python -m embedded logs $(SERVICE)

env: $(READY) ## variables of the stack for a shell; use as in the README
	@$(BIN)/python -m embedded env

bench: $(READY) ## measure, write benchmarks/results/*.json and docs/benchmarks.md
	@$(BIN)/python -m benchmarks.dag_parse
	$(BIN)/python -m benchmarks.intake
	$(BIN)/python -m benchmarks.relations
	$(BIN)/python -m benchmarks.label_doubts
	$(BIN)/python -m benchmarks.embedding
	$(BIN)/python -m benchmarks.fine_tuning
	$(BIN)/python -m benchmarks.smote
	$(BIN)/python -m benchmarks.gate_errors
	$(BIN)/python -m benchmarks.promotion
	$(BIN)/python -m benchmarks.demo
	$(BIN)/python -m benchmarks.document

bench-quality: $(READY) ## how well rare classes are told apart, by features and strategy (hours; cached in .cache/quality)
	@$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.document

lock: $(READY) ## lock the dependencies anew, with hashes, for Python 3.11 to 3.13
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes -c requirements-dev.txt requirements.in -o requirements.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements-gpu.in -o requirements-gpu.txt

clean: down ## remove the environment, the stack's data and the caches; cached downloads stay in .cache
	@rm -rf .venv .embedded .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi
	echo "Making .venv with $$("$(PYTHON)" --version) from requirements-dev.txt (some 250 packages, 3.4 GB)"
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv .venv || { echo "The module venv is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; }
	awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements-dev.txt > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements-dev.txt
	touch $(READY)
