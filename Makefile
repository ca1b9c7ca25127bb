# edgecv: `make demo` builds a model, `make test` runs every test; both make .venv first.
# The newest that runs: of a Python that pyenv has but does not use, only a shim is on the path.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11; do $$p -c '' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder # a file is one fixture scope; order: conftest.py
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)

.PHONY: demo test durations check lint bench clean

demo: .venv
	$(BIN)/edgecv build mobilenet --width 0.75 --res 160

test: .venv .venv/axe.min.js
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

AXE := axe-core@4.14.1# what the tests of pages ask about accessibility; without npm they skip that
.venv/axe.min.js: .venv
	-@npm pack --silent --fetch-retries 0 --fetch-timeout 20000 --pack-destination .venv $(AXE) && \
	 tar -xzf .venv/$(subst @,-,$(AXE)).tgz -C .venv --strip-components=1 package/axe.min.js && touch $@

.venv: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'no Python 3.11, 3.12 or 3.13 here: uv python install 3.13, then make PYTHON="$$(uv python find 3.13)"'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -c 'import cv2' || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq libgl1 libglib2.0-0; }
	touch .venv
