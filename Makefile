# Every target does the set-up it needs on a fresh machine with Python 3.11-3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The rival of the feature benchmark has a virtual environment of its own.
# Its package (0.9.7) has no build for Python 3.13: use PYTHON=python3.12 there.
QLIB := .venv-qlib
DATA ?= $(CURDIR)/data
TENANT ?= default
INGESTS ?= yes

.PHONY: instance demo test ui check lint validate bench bench-features bench-features-cuda \
	test-slow test-faults test-promotion test-properties test-browser acceptance

demo: $(READY) instance
	$(BIN)/turbomode demo

test: $(READY)
	$(BIN)/python -m pytest -n auto

ui: $(READY) instance
	$(BIN)/dagster dev

check: lint test validate

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# dagster.yaml takes its paths from .env, so validation needs the instance as `ui` does.
validate: $(READY) instance
	$(BIN)/dagster definitions validate

bench: $(READY)
	$(BIN)/python -m turbomode_assets_tests.benchmarks

bench-features: $(READY)
	test -x $(QLIB)/bin/python || $(PYTHON) -m venv $(QLIB)
	$(QLIB)/bin/python -m pip install --quiet --disable-pip-version-check pyqlib==0.9.7
	$(BIN)/python -m turbomode_assets_tests.benchmarks.features --qlib-python $(QLIB)/bin/python

bench-features-cuda: $(READY)
	$(BIN)/python -m turbomode_assets_tests.benchmarks.features_cuda

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -s

# Kills and whole nights: one module after the other takes the longest of them half as long again.
test-faults: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow turbomode_assets_tests/faults

test-promotion: $(READY)
	$(BIN)/python -m pytest -m slow -s turbomode_assets_tests/laws/test_promotion.py

# Examples that no run had before; each time others.
test-properties: $(READY)
	$(BIN)/python -m pytest -n auto -m 'hypothesis and not slow and not browser and not acceptance' --hypothesis-profile=search

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser -n 0

# Everything there is, for hours; docs/acceptance.md says what came of it.
acceptance: $(READY)
	$(BIN)/python -m turbomode_assets_tests.acceptance

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "Python 3.11-3.13 is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m turbomode_assets.features.warming
	@touch $@

# Written once and yours from then on; DATA and TENANT choose where and for whom, INGESTS whether
# that tenant asks vendors.
.env:
	@printf '%s\n' \
		'DAGSTER_HOME=$(DATA)/dagster/$(TENANT)' \
		'TURBOMODE_DAGSTER_STORAGE=$(DATA)/dagster/$(TENANT)' \
		'TURBOMODE_DATA_ROOT=$(DATA)' \
		'TURBOMODE_TENANT=$(TENANT)' \
		'TURBOMODE_INGESTS=$(INGESTS)' > $@

# The folders that .env names, and Dagster's configuration in its place.
instance: .env dagster.yaml
	@home=$$(sed -n 's/^DAGSTER_HOME=//p' .env) && mkdir -p "$$home" && cp dagster.yaml "$$home/dagster.yaml"
