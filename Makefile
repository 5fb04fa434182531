# Set-up, the demo run and the tests; everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test setup lint format bench bench-gpu clean

run: setup
	snakemake --cores all
	@echo "The report: $(CURDIR)/results/phantoms/report/index.html"

test: setup lint
	python -m pytest -q

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint

format: setup
	ruff check --fix .
	ruff format .
	snakefmt workflow

bench: setup
	for file in tests/benchmarks/*.py; do echo "== $$file"; python $$file || exit 1; done

bench-gpu: setup
	python tests/benchmarks/gpu/training.py

clean:
	rm -rf $(VENV) results/*
