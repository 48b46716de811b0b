# make demo   set up, then make pictures from the pipelines/
# make test   set up, then run every check
#
# Both work on a fresh machine that has make and Python 3.11 or later. Everything is put into .venv; deleting that
# folder undoes the set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

NEW_ENOUGH := -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" $(NEW_ENOUGH) 2>/dev/null && echo "$$p" && break; done)

BIN := .venv/bin
INSTALLED := .venv/.installed
LESSONS := $(sort $(wildcard pipelines/0*.yaml pipelines/0*.json))
MAIN := pipelines/launch-poster.yaml

.PHONY: help setup photos demo test check unit soak picture pictures clean

help:
	@sed -n 's/^# \(make\)/\1/p' Makefile

setup: $(INSTALLED)

# The stamp is newer than these files exactly when what they ask for is installed and built.
$(INSTALLED): pyproject.toml constraints.txt hatch_build.py $(wildcard pipeline_core/include/* plugins/*/kernels.c pipeline_core/kernels.c)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with venv is needed; tell where: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@echo "installing into .venv (minutes, the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[dev]"
	@touch $@

photos: $(INSTALLED)
	@$(BIN)/python pipelines/photos.py
	@$(BIN)/python pipelines/files.py

demo: photos
	@for file in $(LESSONS); do echo "$$file"; $(BIN)/pipeline run -q "$$file"; done
	$(BIN)/pipeline run $(MAIN)
	@echo; echo "The pictures are in $(CURDIR)/pipelines/out; the poster is launch-poster.png."

test: check unit

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: photos
	$(BIN)/python -m pytest -n auto

soak: photos
	$(BIN)/python -m pytest -m slow

# What docs/operations.md shows: the pictures, then the page.
pictures: photos
	$(BIN)/python docs/pictures/make.py
	$(BIN)/python -m pipeline_core.pages > docs/operations.md.new && mv docs/operations.md.new docs/operations.md

# The picture in the README, made by our own command.
picture: photos
	$(BIN)/pipeline run -q $(MAIN) --only medium -o medium=docs/launch-poster.jpg

clean:
	rm -rf pipelines/out pipelines/photos pipelines/files .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
