# Each target brings .venv up to date by itself; PYTHON=python3.13 makes it from another Python than python3.
PYTHON ?= python3
GOAL ?= Learn SQL in six weeks, 5 hours a week

.DEFAULT_GOAL := help
.PHONY: help setup demo run test faults check lint types contracts dead-code dependencies lock image browser

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

image: setup ## build the image and run every process type from it; on Debian, as root: installs buildah and podman
	@tests/deploy/base_image.sh
	@.venv/bin/pytest -q -m image -p no:xdist --show-capture=no $(ARGS) tests/deploy/test_image.py

browser: setup ## tests of the pages in a real Chromium, which has to be there
	@uv pip install -q -p .venv/bin/python --require-hashes -r requirements-browser.lock 2>/dev/null || .venv/bin/python -m pip install -q --require-hashes -r requirements-browser.lock
	@.venv/bin/pytest -q -m browser -p no:xdist $(ARGS) tests/browser

lock: ## resolve all the requirements anew; needs uv, UPGRADE=--upgrade takes newer versions
	@UPGRADE=$(UPGRADE) scripts/lock.sh
