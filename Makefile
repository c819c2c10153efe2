# Gatepost: two commands do everything on a fresh 64-bit Debian or Raspberry Pi OS: `make demo` and `make test`.
SHELL := /bin/bash
.DELETE_ON_ERROR:
PY := .venv/bin/python
PASSAGES ?=
STAMP := .venv/.ready
JOBS ?= $(shell nproc)

.PHONY: help env lock demo test lint bench campaign clean install install-central

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

env: $(STAMP) ## system packages and .venv, quick the second time

$(STAMP): requirements.lock pyproject.toml .ci/system-packages
	@.ci/system-packages
	@test -x $(PY) || python3 -m venv .venv
	@echo "env: installing the locked Python packages into .venv"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## write requirements.lock anew from pyproject.toml (needs uv; names no index)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra kiosk --extra central --extra postgresql --extra dev --upgrade pyproject.toml .ci/build-requirements.in -o requirements.lock

demo: env ## the gate on simulated hardware; PASSAGES=60 runs that many without a screen
	@$(PY) -m kiosk.cli demo $(if $(PASSAGES),--passages $(PASSAGES))

test: env ## lint, then every test (with its share of the fuzzing)
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup || { \
	  echo "test: what failed beside other tests is run once more, alone; it must pass now"; \
	  $(PY) -m pytest --last-failed --last-failed-no-failures none; }

lint: env ## ruff, mypy --strict, the floors
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

bench: env ## speed, each figure beside a peer or a physical limit of the same run
	@$(PY) -m tests.bench

campaign: env ## the long runs: 200 kills, fuzzing at full length (hours)
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup -m campaign

install: ## a gate with its screen on this machine, or its upgrade: sudo make install; PARTS=gate leaves the screen out
	@systemd/install $(PARTS)

install-central: ## a central on this machine, or its upgrade: sudo make install-central
	@systemd/install central

clean: ## what the commands above made
	rm -rf .venv var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
