# Every target works alone, first, in a fresh clone: it sets up what it needs in .venv, once.
#
#   make grade        grade the small sample class
#   make test         style, types, freshness of the notebooks, proof of the checks, all tests
#   make check-style  style and types only
#   make build        build the notebooks from reference/
#   make bench        measure the speed of grading a class, beside nbgrader and otter
#   make soak         grade thousands of submissions under random kills, and look for what is left behind
#   make bench-gpu    measure the speed of training on a graphics card, beside Hugging Face's Trainer
#   make clean        remove .venv, caches and the sample class's results
#
# PYTHON=python3.12 chooses the interpreter (3.11 or newer); PIP_FLAGS is added to every `pip install`.

PYTHON ?= python3
PIP_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Errors only: `-q` alone would still show a warning for every package when one of several indexes lacks it.
PIP := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check -c constraints.txt

PIP_FAILED := { echo "error: pip failed; with PIP_FLAGS=-vv it says more." >&2; exit 1; }

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help grade test check-style build bench soak bench-gpu clean

help:
	@sed -n '/^#  /s/^# *//p' Makefile

grade: $(VENV)/.stamp-instructor
	$(BIN)/course grade tests/sample_class/submitted --output results/sample_class

test: check-style
	$(BIN)/course build --check
	$(BIN)/course verify
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --timeout=1800

check-style: $(VENV)/.stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

build: $(VENV)/.stamp-instructor
	$(BIN)/course build

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m grader.bench

soak: $(VENV)/.stamp-instructor
	$(BIN)/python -m grader.bench.soak

bench-gpu: $(VENV)/.stamp-capstone
	$(BIN)/python -m grader.capstone.benchmark

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis results/sample_class
	find grader reference tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ----------------------------------------------------------------------------------------------------------

# A virtual environment, also where Python came without `ensurepip` (Debian without python3-venv): then the pip outside
# installs one into it.
$(VENV)/.stamp-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>&1) || found="not there"; \
	  echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$found." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install -qq --disable-pip-version-check $(PIP_FLAGS) pip; }
	@touch $@

$(VENV)/.stamp-instructor: $(VENV)/.stamp-python pyproject.toml constraints.txt
	@echo "Installing the course for instructors into $(VENV); the first time this takes some minutes."
	@$(PIP) $(PIP_FLAGS) -e '.[tensorflow,transformers,service,instructor]' || $(PIP_FAILED)
	@touch $@

$(VENV)/.stamp-bench: $(VENV)/.stamp-python pyproject.toml constraints.txt
	@echo "Installing the course and what it is measured against into $(VENV); the first time this takes some minutes."
	@$(PIP) $(PIP_FLAGS) -e '.[tensorflow,transformers,service,instructor,bench]' || $(PIP_FAILED)
	@touch $@ $(VENV)/.stamp-instructor

$(VENV)/.stamp-capstone: $(VENV)/.stamp-python pyproject.toml constraints.txt
	@echo "Installing the capstone into $(VENV); the first time this takes some minutes."
	@$(PIP) $(PIP_FLAGS) -e '.[capstone]' || $(PIP_FAILED)
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-python pyproject.toml constraints.txt
	@echo "Installing the course with all that its tests need into $(VENV); the first time this takes some minutes."
	@$(PIP) $(PIP_FLAGS) -e '.[dev]' || $(PIP_FAILED)
	@touch $@ $(VENV)/.stamp-instructor
