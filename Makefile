# Set-up, the demo run and the tests; everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
KILLS ?= 50
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test test-all setup lint format bench bench-gpu docs clean

run: setup
	snakemake --cores all
	@echo "The report: $(CURDIR)/results/phantoms/report/index.html"

# What decides whether a change is right, in minutes; two processes, each of one thread.
test: setup lint
	OMP_NUM_THREADS=1 python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not slow"

# All of it: fifty kills, 12,000 damaged files, tables in a bucket, and (as root, on a machine to throw away) Slurm.
test-all: setup lint
	python -m pip install --quiet --requirement envs/cloud.txt
	OMP_NUM_THREADS=1 HOUNSFIELD_KILLS=$(KILLS) HOUNSFIELD_TEST_SLURM=1 \
		python -m pytest -q -n $(WORKERS) --dist loadgroup --durations=10

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint
	mypy

format: setup
	ruff check --fix .
	ruff format .
	snakefmt workflow

bench: setup
	for file in tests/benchmarks/*.py; do echo "== $$file"; python $$file || exit 1; done

bench-gpu: setup
	python tests/benchmarks/gpu/training.py

docs: setup
	python -m pip install --quiet --requirement envs/docs.txt
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

clean:
	rm -rf $(VENV) results/* site
