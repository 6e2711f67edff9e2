# Each target brings .venv up to date by itself; PYTHON=python3.13 makes it from another Python than python3.
PYTHON ?= python3
GOAL ?= Learn SQL in six weeks, 5 hours a week
LOCK := uv pip compile pyproject.toml --extra local --group dev --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --annotation-style line --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup demo run test faults check lint types contracts dead-code dependencies lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with what requirements.lock pins, when it is not up to date
	@$(PYTHON) scripts/setup.py

demo: setup ## start everything, build a roadmap and show it; GOAL="…" says which
	@.venv/bin/roadmap demo "$(GOAL)"

run: setup ## start everything and stay up, at http://localhost:8000
	@.venv/bin/roadmap dev

test: setup ## all tests, against servers of their own; ARGS="-k …" chooses
	@.venv/bin/pytest -q -n 2 $(ARGS)

faults: setup ## every fault, also the slow ones, and then the soak; SOAK_SECONDS=600, SOAK_SEED=… repeats one
	@.ci/faults

check: lint types contracts dead-code dependencies ## all of the following checks

lint: setup ## style and format
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .

types: setup ## mypy, strict
	@.venv/bin/mypy

contracts: setup ## which module may import which
	@.venv/bin/lint-imports --no-logo

dead-code: setup ## what nobody calls
	@.venv/bin/vulture

dependencies: setup ## packages that are missing, unused or only borrowed
	@.venv/bin/deptry .

lock: ## resolve requirements.lock anew; needs uv, UPGRADE=--upgrade takes newer versions
	$(LOCK) $(UPGRADE) --quiet --output-file requirements.lock
