# Every command that a developer or CI needs; `make help` lists them. All Python tools live in $(VENV).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUF := tools/node/node_modules/.bin/buf
BUF_READY := tools/node/node_modules/.ready
TEST_JOBS ?= 2
TEST_ARGS ?=
# Scenarios of the conformance kit wait more than they compute.
CONFORMANCE_JOBS ?= 4
# Folders below client/ to build and try; empty: all whose toolchain is here.
TEST_CLIENTS ?=
export TEST_CLIENTS
PYTHON_TOOLS := $(wildcard $(addprefix tools/,bench captures check_sizes draw_states freeze_protocol generate_reference generate_stubs simulate))

##@ Use
.PHONY: run
run: $(READY) ## run the example: a wheelhouse on 3 workers
	$(BIN)/br parallel start --plan examples/wheelhouse/plan.yaml --workers 3 --watch

.PHONY: setup
setup: $(READY) ## make .venv with the pinned packages (PYTHON=...)
$(READY): requirements/dev.txt pyproject.toml tools/setup
	@PYTHON="$(PYTHON)" tools/setup $(VENV)

##@ Test
.PHONY: test
test: $(READY) clients ## all tests (TEST_ARGS="-k locks", TEST_CLIENTS=python)
ifeq ($(strip $(TEST_ARGS)),)
	@$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup --ignore=tests/conformance
	@$(MAKE) conformance
	@$(MAKE) clients-test
else
	@$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup $(TEST_ARGS)
endif

.PHONY: clients
clients: ## build the clients whose toolchain is here
	@tools/clients build

.PHONY: clients-test
clients-test: ## run their unit tests
	@tools/clients test

.PHONY: conformance
conformance: $(READY) ## the conformance kit, on what is built
	@$(BIN)/python -m pytest -n $(CONFORMANCE_JOBS) --dist loadgroup tests/conformance

.PHONY: conformance-table
conformance-table: $(READY) clients ## run it, and keep the table in docs/clients.md
	@$(BIN)/python -m tests.conformance --write --jobs $(CONFORMANCE_JOBS)

.PHONY: bench
bench: $(READY) ## measure throughput and latency, beside the targets
	@$(BIN)/python tools/bench $(BENCH_ARGS)

.PHONY: simulate
simulate: $(READY) ## run the simulator over many seeds (SIMULATE_ARGS=...)
	@$(BIN)/python tools/simulate $(SIMULATE_ARGS)

##@ Check
.PHONY: check
check: lint types floors sizes requirements-check stubs-check states-check reference-check proto-lint proto-breaking ## everything CI checks besides the tests
	@echo "check: all good"

.PHONY: lint
lint: $(READY) ## ruff: rules and formatting
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "lint: run: make fix" >&2; exit 1; }
	@echo "lint: clean"

.PHONY: types
types: $(READY) ## mypy, strict
	@$(BIN)/mypy
	@$(BIN)/mypy --scripts-are-modules $(PYTHON_TOOLS)

.PHONY: floors
floors: $(READY) ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-logo

.PHONY: sizes
sizes: $(READY) ## bounds on the length of files and functions
	@$(BIN)/python tools/check_sizes

.PHONY: requirements-check
requirements-check: ## pinned requirements carry hashes and no addresses
	@tools/check_requirements

.PHONY: stubs-check
stubs-check: $(READY) ## the committed stubs follow from the protos
	@status=0; $(BIN)/python tools/generate_stubs --check || status=1; tools/clients stubs-check || status=1; exit $$status

.PHONY: states-check
states-check: $(READY) ## docs/states.md follows from the state tables
	@$(BIN)/python tools/draw_states --check

.PHONY: reference-check
reference-check: $(READY) ## docs/reference.md follows from the program
	@$(BIN)/python tools/generate_reference --check

.PHONY: proto-lint
proto-lint: $(BUF_READY) ## buf: rules and formatting of the protos (needs npm)
	@$(BUF) lint
	@$(BUF) format --diff --exit-code || { echo "proto-lint: run: make proto-format" >&2; exit 1; }
	@echo "proto-lint: clean"

.PHONY: proto-breaking
proto-breaking: $(BUF_READY) ## buf: nothing breaks a released protocol (needs npm)
	@tools/check_breaking $(BUF)

# Not `npm ci`: it insists on the builds for other systems, which not every registry carries.
$(BUF_READY): tools/node/package.json tools/node/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "npm is needed for the protocol's linter and was not found; install Node.js 20 or newer." >&2; \
	  echo "(make run and make test do without it.)" >&2; exit 1; }
	@cd tools/node && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(BUF) --version >/dev/null
	@touch $@

##@ Mend and make
.PHONY: fix
fix: $(READY) ## format, and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format .

.PHONY: proto-format
proto-format: $(BUF_READY) ## format the protos (needs npm)
	@$(BUF) format --write

.PHONY: proto-freeze
proto-freeze: $(READY) ## keep the protocol as that of a release (VERSION=0.1)
	@$(BIN)/python tools/freeze_protocol "$(VERSION)"

.PHONY: stubs
stubs: $(READY) ## generate the stubs of all languages from the protos
	@$(BIN)/python tools/generate_stubs
	@tools/clients stubs

.PHONY: states
states: $(READY) ## draw docs/states.md from the state tables
	@$(BIN)/python tools/draw_states

.PHONY: golden
golden: $(READY) ## record anew what commands print (tests/cli/golden)
	@BLESS=1 $(BIN)/python -m pytest -q -n $(TEST_JOBS) tests/cli/test_cli_golden.py tests/cli/test_cli_locks.py \
		tests/cli/test_cli_errors.py tests/cli/test_cli_hostile.py

.PHONY: reference
reference: $(READY) ## write docs/reference.md from the program
	@$(BIN)/python tools/generate_reference

.PHONY: captures
captures: $(READY) ## draw docs/captures/*.svg from runs of the program
	@$(BIN)/python tools/captures $(CAPTURES_ARGS)

.PHONY: lock
lock: ## pin the dependencies again (LOCK_ARGS=--upgrade)
	@tools/lock_requirements $(LOCK_ARGS)

.PHONY: dist
dist: $(READY) ## build the source archive and the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

.PHONY: clean
clean: ## remove environments, caches and what was built
	@tools/clients clean
	@rm -rf $(VENV) .tools tools/node/node_modules dist build
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find client service tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
