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
IMAGE_LOCK := kagglerun/environment/image.lock
IMAGE_EXTRAS := --extra dashboard --extra image --extra postgres --extra ray --extra sync
# What `kagglerun image build --torch` offers beside the lock's own.
IMAGE_TORCHES := 2.6 2.7 2.9
READY := $(VENV)/.ready
DEMO := demo
# Builds and starts the image without torch on the machine itself: what of the lock that takes.
IMAGE_READY := .venv-image/.ready
IMAGE_TOOLS := annotated-doc|annotated-types|hatchling|markdown-it-py|mdurl|packaging|pathspec|pluggy|psutil|pydantic|\
pydantic-core|pygments|pyyaml|rich|setuptools|shellingham|tomlkit|trove-classifiers|typer|typing-extensions|typing-inspection
JOBS ?= 2
# One thread a test worker: more would only wait for one another.
TEST_THREADS := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup demo image test long quick image-test check fix bench ui lock image-lock system clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

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
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m "not long and not image"

$(IMAGE_READY): $(LOCK) pyproject.toml
	@test -x .venv-image/bin/python || $(PYTHON) -m venv .venv-image \
	  || { rm -rf .venv-image; echo "venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@awk '/^[a-z]/ { kept = /^($(subst $() ,,$(IMAGE_TOOLS)))==/ } kept' $(LOCK) >.venv-image/tools.lock
	@.venv-image/bin/pip install -q --disable-pip-version-check --require-hashes -r .venv-image/tools.lock
	@.venv-image/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(IMAGE_READY)

image: $(IMAGE_READY) ## the standard image, by docker, podman or buildah (TORCH=2.6 with that torch); README says how it is started
	.venv-image/bin/kagglerun image build $(if $(TORCH),--torch $(TORCH))

long: $(READY) ## the tests that take minutes: Ray clusters, killed runs and sweeps, folds side by side, compiled models
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m "long and not image"

quick: $(READY) ## the tests that take less than about ten seconds
	$(TEST_THREADS) $(BIN)/pytest -n $(JOBS) --dist loadfile -q -m "not slow and not long and not image and not browser and not real"

image-test: $(READY) ## build the image by buildah from a Debian of debootstrap's, and use it (as root; 30 GB of disk)
	$(BIN)/pytest -p no:xdist -q -m image

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
# The image gets the same versions, and uv to install them; for each older torch, a lock of what that torch pins.
COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header

lock: $(READY) ## resolve the newest versions again into kagglerun/environment/requirements.lock, and the image's locks
	echo 'uv==$(UV_VERSION)' | $(BIN)/$(COMPILE) --upgrade pyproject.toml - --extra dev -o $(LOCK)
	@$(MAKE) --no-print-directory image-lock

image-lock: $(READY) ## resolve the image's locks again, with the versions of requirements.lock
	echo 'uv==$(UV_VERSION)' | $(BIN)/$(COMPILE) --constraints $(LOCK) pyproject.toml - $(IMAGE_EXTRAS) -o $(IMAGE_LOCK)
	awk '/^[a-z]/ { kept = !/^($(TORCH_OWN))==/ } kept' $(IMAGE_LOCK) >$(VENV)/others.lock
	@set -e; for torch in $(IMAGE_TORCHES); do \
	  echo "torch==$$torch.*" | $(BIN)/$(COMPILE) --constraints $(VENV)/others.lock pyproject.toml - $(IMAGE_EXTRAS) \
	    -o $(VENV)/torch.lock; \
	  awk '/^[a-z]/ { kept = /^($(TORCH_OWN))==/ } kept' $(VENV)/torch.lock >kagglerun/environment/torch/$$torch.lock; \
	done
	@! grep -n '://\|@ file\|^-' $(LOCK) $(IMAGE_LOCK) kagglerun/environment/torch/*.lock

system: ## Debian's packages that some tests need (as root): Chromium, libarchive for 7z, PostgreSQL, sshd, buildah, bubblewrap
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	  buildah busybox-static chromium chromium-driver debootstrap libarchive-tools openssh-client openssh-server \
	  bubblewrap netavark podman podman-compose postgresql runc tmux

clean: ## remove demo/, build/, dist/ and caches; .venv, runs and data stay
	@test ! -d $(DEMO)/.kagglerun || $(BIN)/kagglerun -w $(DEMO) practice stop >/dev/null 2>&1 || true
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kagglerun tests -name __pycache__ -type d -prune -exec rm -rf {} +
