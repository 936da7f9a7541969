# `make` lists the targets. All of them work on a bare machine with python3 (3.11 or newer) and make.

SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.8
# Another torch than the lock's in a .venv of its own, e.g. the oldest that is supported: make test TORCH=2.6.0
TORCH ?=
# What a release of torch pins for itself; all else is the lock's with any torch.
TORCH_OWN := torch|torchvision|triton|sympy|cuda-.*|nvidia-[^m].*
VENV := .venv$(if $(TORCH),-torch$(TORCH))
BIN := $(VENV)/bin
LOCK := kagglerun/environment/requirements.lock
READY := $(VENV)/.ready
DEMO := demo
JOBS ?= 2
# One thread a test worker: more would only wait for one another.
TEST_THREADS := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup demo test long quick check fix bench ui lock system clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## .venv with the pinned packages and this checkout in it

# Done again when the lock or the package's description changed.
$(READY): $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$$($(PYTHON) --version) is too old: 3.11 or newer is needed (make PYTHON=python3.12 ...)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the pinned packages into $(VENV) (the first time takes minutes: torch is large)"
	@test "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = $(UV_VERSION) || $(BIN)/pip install -q uv==$(UV_VERSION)
ifeq ($(TORCH),)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync -q --require-hashes --compile-bytecode $(LOCK)
else
	@awk '/^[a-z]/ { kept = !/^($(TORCH_OWN))==/ } kept' $(LOCK) >$(VENV)/others.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode torch==$(TORCH) \
	  -r pyproject.toml --extra dev --constraints $(VENV)/others.lock
endif
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## the whole job offline: fetch, sweep, submit, review (no account, no GPU; in demo/)
	@set -euo pipefail; \
	kagglerun="$$PWD/$(BIN)/kagglerun"; \
	step() { printf '\n$$ kagglerun %s\n' "$$*"; "$$kagglerun" "$$@"; }; \
	trap '"$$kagglerun" practice stop >/dev/null 2>&1 || true' EXIT; \
	"$$kagglerun" init $(DEMO); \
	cd $(DEMO); \
	step practice start; \
	step fetch practice/digits; \
	step sweep baseline.yaml --follow cv.n_splits=3 training.epochs=4 sweep.trials=3; \
	step submit best --yes || test $$? -eq 3; \
	step runs; \
	printf '\nReview in MLflow:  make ui    (or: cd $(DEMO) && ../$(BIN)/kagglerun ui)\n'

test: $(READY) ## all tests but the long ones (JOBS=2 processes; TORCH=2.6.0 on that torch; KAGGLERUN_TEST_DATA names a folder with real competition bundles)
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m "not long"

long: $(READY) ## the tests that take minutes: Ray clusters, sweeps killed at random moments
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m long

quick: $(READY) ## the tests that take less than about ten seconds
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m "not slow and not long and not browser and not real"

check: $(READY) ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(READY) ## mend what ruff can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## the benchmarks, written to tests/benchmarks/RESULTS.md
	$(BIN)/python tests/benchmarks/run.py

ui: $(READY) ## MLflow's page with the demo's runs (or, without a demo, this folder's) on 127.0.0.1
	@$(BIN)/kagglerun -w $$(test -d $(DEMO)/.kagglerun && echo $(DEMO) || echo .) ui

# --universal: one lock for every Python from 3.11 on. No index and no address goes into it.
lock: $(READY) ## resolve the newest versions again into kagglerun/environment/requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o $(LOCK)
	@! grep -n '://\|@ file\|^-' $(LOCK)

system: ## Debian's packages that some tests need (as root): Chromium for MLflow's page, libarchive for 7z, PostgreSQL
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	  chromium chromium-driver libarchive-tools postgresql

clean: ## remove demo/, build/, dist/ and caches; .venv, runs and data stay
	@test ! -d $(DEMO)/.kagglerun || $(BIN)/kagglerun -w $(DEMO) practice stop >/dev/null 2>&1 || true
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kagglerun tests -name __pycache__ -type d -prune -exec rm -rf {} +
