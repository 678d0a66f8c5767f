# make run | test | test-whole | bench | lint | format | setup. Needs python3 (3.11 or newer) and nothing else.
# Variables such as PORT, DATABASE_URL and DATA_DIR are listed in docs/self-hosting.md; every one is optional.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SITE = .venv/bin/python

.PHONY: run setup setup-tests test test-whole test-cgroup2 bench lint format
.DEFAULT_GOAL := run

run: setup
	@exec $(SITE) manage.py up

setup:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -m playground.prepare

setup-tests:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -m playground.prepare --tests

# Three processes share the files, because many tests wait for boxes; ARGS="tests/runner -k flood" runs some, in one.
test: setup-tests
	@exec $(SITE) -m pytest $(or $(ARGS),-n 3)

# Of some long lists make test takes a sample; this takes all of them: every honest program, a hundred reports, SAMBO,
# and fifty runs that are made again.
test-whole: setup-tests
	@HONESTY_EVERY=1 SURFACE_RUNS=100 SLOW_SEARCHES=1 NIGHT_RUNS=50 exec $(SITE) -m pytest \
	  tests/sdk/test_honesty.py tests/sdk/test_sweeps.py tests/runner/test_reports.py tests/runner/test_repeating.py

bench: setup-tests
	@exec $(SITE) -m tests.benchmarks

bench-%: setup-tests
	@exec $(SITE) -m tests.benchmarks $*

# In a virtual machine that has control groups version 2 only (tests/vm/README.md); slow.
test-cgroup2: setup-tests
	@exec $(SITE) -m tests.vm.run $(ARGS)

lint: setup-tests
	@$(SITE) -m ruff check .
	@$(SITE) -m ruff format --check .
	@$(SITE) -m mypy
	@$(SITE) manage.py makemigrations --check --dry-run

format: setup-tests
	@$(SITE) -m ruff format .
	@$(SITE) -m ruff check --fix .
