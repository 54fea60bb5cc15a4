# make demo: set up and run the main job on the demo set; make test: set up and run the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow lint stubs docs install clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/'

$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/boxseg/crf/cpp/*)
	@$(PYTHON) -c 'import sys; sys.exit("boxseg needs Python 3.10 or later, $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11") if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)  ## make .venv with everything the tests need

demo: $(STAMP)  ## all stages on the generated demo set, offline, in minutes
	$(BIN)/boxseg demo out=runs/demo

test: $(STAMP)  ## the tests, in minutes
	$(BIN)/python -m pytest -n auto -m 'not slow'

test-slow: $(STAMP)  ## also the trainings on real photos
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

stubs: $(STAMP)  ## src/boxseg/__init__.pyi anew, after a change of options; a test compares it
	$(BIN)/python scripts/make_stubs.py

docs: $(STAMP)  ## the documentation as a site, in build/site
	$(BIN)/mkdocs build --strict --quiet

clean:  ## remove .venv and what the tools leave behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
