# All paths are relative, so that the checkout may lie anywhere, also in a folder with spaces.
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

PY := .venv/bin/python
REQUESTS ?= 20000
ARGS ?=
export PYTHON

.PHONY: help demo test lint fmt coverage bench docs compose-test dev clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: .venv/.stamp-run ## the whole pipeline on this machine, on a real Kafka (REQUESTS=20000)
	@.venv/bin/shadowlane demo --requests $(REQUESTS)

test: lint ## lint, types and every test, on a real Kafka; the header says which (ARGS="-k name")
	@$(PY) -m pytest $(ARGS)

lint: .venv/.stamp-dev ## ruff, formatting, mypy and the floors of the house
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@.venv/bin/lint-imports

fmt: .venv/.stamp-dev ## format the code, and fix what ruff can fix
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

coverage: .venv/.stamp-dev ## the tests with branch coverage, the command line's processes included
	@$(PY) -m pytest --cov --cov-report=term $(ARGS)

bench: .venv/.stamp-dev ## measure; each figure of the docs comes from one of these
	@set -e; for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "no benchmarks yet"; break; }; \
	  echo "== $$script"; $(PY) "$$script"; \
	done

docs: .venv/.stamp-dev ## write docs/cli.md from the commands themselves
	@$(PY) docs/generate_events.py
	@$(PY) docs/generate_lake.py
	@$(PY) docs/generate_report.py
	@$(PY) docs/generate_sampling_vectors.py
	@$(PY) -m shadowlane.cli.reference > docs/cli.md.new
	@mv docs/cli.md.new docs/cli.md

compose-test: ## docker-compose.yml, proved on a machine with a Docker engine
	@deploy/compose-test

dev: .venv/.stamp-dev ## make or refresh .venv with all that developing needs

clean: ## remove the environment, builds and caches (never data)
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# Made once, and refreshed when the dependencies change. PYTHON=... chooses the interpreter.
.venv/.stamp-run .venv/.stamp-dev: pyproject.toml
	@tools/venv $(@:.venv/.stamp-%=%)
