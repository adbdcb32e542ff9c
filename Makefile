# make demo and make test do all of their own set-up: the virtual environment .venv, installed with constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# pip tells on stderr of every mirror it has nothing from; its errors still stop make
export PIP_NO_INPUT := 1

.PHONY: help demo test test-quick test-all test-lowest lint bench docs notebooks clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/.run  ## train on digits, standard and PGD-adversarial, and draw how the margins evolve
	$(BIN)/bdry demo

test: lint  ## lint, types, import floors, and all tests but those that take minutes each, a cluster or a browser
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long and not cluster and not browser"

test-quick: .venv/.dev  ## the tests of make test but those that take more than about ten seconds each
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not long and not cluster and not browser"

test-all: lint .venv/.docs  ## the same with those too; as root on Debian installs SLURM, chromium, zsh and fish first
	scripts/install_test_packages.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-lowest:  ## the tests of make test with the lowest versions that pyproject.toml allows, in .venv-lowest (downloads 3 GB)
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	.venv-lowest/bin/python -m pytest -n 2 --dist loadfile -m "not long and not cluster and not browser"

lint: .venv/.dev  ## ruff, mypy on src, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.dev  ## speed of training, then of all margin estimators beside their peers' (half an hour)
	$(BIN)/python benchmarks/frame.py
	$(BIN)/python benchmarks/margins.py

docs: .venv/.docs  ## the documentation as a site in site/, from docs/ and the docstrings; needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html; with the search: $(PYTHON) -m http.server -d site"

notebooks: .venv/.docs  ## execute docs/notebooks/*.py again and write their pages
	$(BIN)/python scripts/render_notebooks.py

clean:  ## remove the virtual environment and caches
	rm -rf .venv .venv-lowest site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("bdry needs Python 3.10 or newer, this is " + sys.version) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing bdry into .venv, a minute or more"
	$(PIP) -e .
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.run

.venv/.docs: .venv/.dev
	$(PIP) -e '.[dev,docs]'
	@touch $@
