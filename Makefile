PYTHON ?= python3
BIN := .venv/bin
# One more than there are cores, for tests that wait. Each process holds TensorFlow, about
# 1 GB, and takes half a minute to collect all tests and import what they use: more than five gain little.
JOBS ?= $(shell nproc 2>/dev/null | awk '{print ($$1 > 3) ? 5 : $$1 + 1}')
MAKEFLAGS += --no-print-directory
# A user's own packages must not mix with the pinned ones; and each process of many would compile TensorFlow's
# sources again, 12 s, where Python may not keep what it compiled.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup cuda scale words run test test-fast mutate test-all test-scale test-cluster checked lint phone phone-with-node drill wheel docs lock image clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv from the lock file that fits this machine
	@$(PYTHON) -m deploy.environment

cuda: setup ## add the CUDA libraries to .venv, for NVIDIA GPUs, 3 to 5 GB
	@$(PYTHON) -m deploy.environment cuda

scale: setup ## add Spark to .venv, 470 MB
	@$(PYTHON) -m deploy.environment scale

words: setup ## add vectors of English words to .venv, 83 MB, that texts then begin with
	@$(PYTHON) -m deploy.environment words

run: setup ## run the pipeline on the embedded sample; options in ARGS="..."
	@$(BIN)/python runners/local_runner.py --sample $(ARGS)

# A file stays in one process, and with it the fixtures that its tests share; tests/conftest.py puts the long
# files first. A process that dies ends the run: xdist would wait for its tests for ever.
# Those marked cluster, scale and bare need more than this machine.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: checked ## lint, then tests of every behaviour; pytest's options in ARGS="..."
	@$(PYTEST) -m "not exhaustive and not cluster and not scale and not bare" $(ARGS)

test-fast: checked ## leave out the tests that run the whole DAG
	@$(PYTEST) -m "not e2e and not exhaustive and not cluster and not scale and not bare" $(ARGS)

ROOM ?= edgeline/gates
MUTANTS ?= *7
mutate: setup ## change the code of ROOM="edgeline/gates" and show what its tests do not notice
	@$(BIN)/python -m tests.mutate $(ROOM) '$(MUTANTS)'

test-all: checked ## each case of all tests, then the commands of the pages as typed on a bare Debian: hours
	@FUZZ_ROUNDS=1000 $(PYTEST) --every-case -m "not cluster and not scale and not bare" $(ARGS)
	@$(BIN)/python -m pytest tests/bare $(ARGS)

test-scale: scale ## the data steps on Spark's standalone cluster, on this machine
	@$(BIN)/python -m pytest tests/scale $(ARGS)

# mypy and the build of the page use one core each.
checked:
	@$(MAKE) -j 2 lint phone-with-node

# Functions of a complexity above 20 are listed, and lint fails.
ROOMS := components data deploy drill edgeline pipeline runners trainer_module
lint: setup ## ruff, mypy, the layers of imports, what a run reaches, complexity, docstrings, and statements that do two things
	@! $(BIN)/radon cc --min D --show-complexity $(ROOMS) | grep .
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/python -m tests.docstrings
	@$(BIN)/python -m tests.statements
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.closure

HAS_NODE := { command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } > /dev/null 2>&1
# Last of the files that the build writes.
PAGE := edgeline/phone/page/worker.js
$(PAGE): $(shell find clients/web -name node_modules -prune -o -type f -print) edgeline/release/refusals.json
	@$(HAS_NODE) || { printf '%s\n' 'Node 20 or newer was not found: npm and node have to be on the PATH.' \
		'It builds the page for phones, and no package is built without that page. Nothing was built.' \
		'Install it, on Debian 13 by `sudo apt install npm`, else from nodejs.org, and run make again.' >&2; exit 1; }
	@cd clients/web && npm ci --silent --ignore-scripts && npm run --silent build

phone: $(PAGE) ## build the web page for phones; needs Node

phone-with-node:
	@if $(HAS_NODE); then $(MAKE) phone; fi

drill: setup ## a year of simulated Mondays with faults; options in ARGS="..."
	@$(BIN)/python -m drill --weeks 52 --seed 1 $(ARGS)

wheel: phone setup ## build the package `edgeline`, without the pipeline, into dist/
	@$(BIN)/python -W ignore setup.py --quiet bdist_wheel && rm -rf build
	@ls dist/*.whl

docs: setup ## build the documentation into site/
	@$(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html"

lock: ## resolve the dependencies of both stacks again; newer ones by removing requirements/*.txt
	@$(PYTHON) -m deploy.environment lock

# A tag of its own for each commit: of `latest`, a cluster would not know that it changed.
IMAGE ?= edgeline:$(shell git rev-parse --short=12 HEAD)
image: ## build the container image; IMAGE=name:tag, docker's options in BUILD="--build-arg CUDA=1"
	@docker build --file deploy/Dockerfile --tag $(IMAGE) \
		--build-arg SOURCE="$$(.venv/bin/python -m runners.shared.source 2>/dev/null)" $(BUILD) .
	@echo "Built $(IMAGE)"

# How the image gets to the cluster's nodes.
LOAD ?= docker push
test-cluster: setup ## the image, built and loaded by LOAD="kind load docker-image", on KUBECONFIG and KFP_ENDPOINT
	@if [ -n "$$KUBECONFIG" ] && [ -n "$$KFP_ENDPOINT" ]; then $(MAKE) image BUILD='--build-arg SPARK=1 $(BUILD)' && $(LOAD) $(IMAGE); fi
	@IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/cluster $(ARGS)

clean: ## remove the environment and all caches, but no workspace
	rm -rf .venv .uv .venv.lock clients/web/node_modules edgeline/phone/page site dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './workspace/*' -prune -exec rm -rf {} +
