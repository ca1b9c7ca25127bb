# edgecv: `make demo` builds a model, `make test` runs every test; both make .venv first.
PYTHON ?= python3.11
BIN := .venv/bin
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder # a file is one fixture scope; order: conftest.py
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)

.PHONY: demo test durations check lint bench clean

demo: .venv
	$(BIN)/edgecv build mobilenet --width 0.75 --res 160

test: .venv
	$(BIN)/python -m pytest $(WORKERS)

durations: .venv # of all tests, by which conftest.py orders them and check chooses; on an idle machine
	$(BIN)/python -m pytest $(WORKERS) --measure

check: lint # while writing: without the tests that take more than half a second
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv runs dist .pytest_cache .mypy_cache .ruff_cache

.venv: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -c 'import cv2' || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq libgl1 libglib2.0-0; }
	touch .venv
