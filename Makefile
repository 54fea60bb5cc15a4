# make demo: set up and run the main job on the demo set; make test: set up and run the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLAIN := $(VENV)/.plain
DEMO := runs/demo

.PHONY: demo test test-slow lint stubs docs install audit wheel clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/'

define CHECK_PYTHON
	@$(PYTHON) -c 'import sys; sys.exit("boxseg needs Python 3.10 or later, $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11") if sys.version_info < (3, 10) else None'
endef

$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/boxseg/crf/cpp/*)
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The demo needs the package alone; where there is an environment with everything, it will do.
$(PLAIN): pyproject.toml constraints.txt
	$(CHECK_PYTHON)
	@echo "Installing boxseg, torch and Lightning into $(VENV): 1.1 GB on disk with torch's build for CPUs, several GB with the one for NVIDIA GPUs"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt .
	@touch $@

install: $(STAMP)  ## make .venv with everything the tests need

demo: $(if $(wildcard $(STAMP)),$(STAMP),$(PLAIN))  ## all stages on the generated demo set, offline, in minutes
	@echo "Generating 250 small photos with boxes, and making masks and a network from the boxes alone: about 5 minutes on two cores"
	$(BIN)/boxseg demo out=$(DEMO)
	@echo
	@echo "Now open $(DEMO)/report.html in a browser, and look at $(DEMO)/sheet.png."
	@echo "Next, with photos and boxes of your own (COCO, VOC, YOLO, CVAT, Label Studio or CSV):"
	@echo "  $(BIN)/boxseg doctor DIR                   what is in the folder, and what is wrong with it"
	@echo "  $(BIN)/boxseg label data=DIR out=masks     a mask for every box"
	@echo "  $(BIN)/boxseg run data=DIR out=runs/first  masks, and a network trained on them"

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

audit: $(STAMP)  ## compare the installed packages with the known vulnerabilities; needs the network
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --strict --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

wheel:  ## the package in dist/, the same bytes whenever it is built from a commit with the same compiler
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove .venv and what the tools leave behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
