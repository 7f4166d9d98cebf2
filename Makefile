# Everything a newcomer types. `make` alone lists it; GNU make 4 and Python 3.11 or newer are all it needs.

PYTHON ?= python3
VENV ?= .venv
CHORUS_PORT ?= 8000
CHORUS_DATA ?= ../shared/data
# Where torch comes from before PyPI: its CPU build is a tenth of the size. `make TORCH= ...` takes PyPI's, with CUDA.
TORCH ?= https://download.pytorch.org/whl/cpu/torch/

# ONNX Runtime reports to its maker from 1.29 on, unless this stands before it is imported.
export ORT_DISABLE_TELEMETRY := 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SERVED := $(VENV)/.with-demo
TESTED := $(VENV)/.with-dev
BENCHED := $(VENV)/.with-benchmarks
PEERS := .venv-bench
SHELF := model_store/bundles
KERNEL := model_store/kernel.c model_store/kernel.inc
HISTORIES := runs/shop/histories.jsonl.gz
LOADED := var/shop/.loaded

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev demo shop test bench chaos soak bench-tools lint format clean constraints lock audit image image-training compose-up compose-down

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## /\1\t/' | expand -t 16

install: $(SERVED)  ## Make .venv with training and the service in it
install-dev: $(TESTED)  ## The same, with what tests and checks need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Chorus needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(SERVED): pyproject.toml constraints.txt $(KERNEL) | $(BIN)/python
	@$(call get,train$(comma)embedded$(comma)score)
	@touch $@

$(TESTED): pyproject.toml constraints.txt $(KERNEL) | $(BIN)/python
	@$(call get,train$(comma)embedded$(comma)score$(comma)otel$(comma)dev)
	@touch $@ $(SERVED)

$(BENCHED): pyproject.toml constraints.txt $(KERNEL) | $(BIN)/python
	@$(call get,train$(comma)embedded$(comma)score$(comma)otel$(comma)dev$(comma)benchmarks)
	@touch $@ $(SERVED) $(TESTED)

comma := ,
define get
echo "Installing the packages of .[$(1)] into $(VENV): some minutes the first time" && \
$(PIP) install --quiet --progress-bar on $(if $(TORCH),--retries 0 --find-links $(TORCH)) -c constraints.txt torch && \
$(PIP) install --quiet --progress-bar on -c constraints.txt -e '.[$(1)]'
endef

demo: $(SERVED)  ## Train the demo shop if it has no bundle yet, then serve it on CHORUS_PORT (8000)
	@ls -d $(SHELF)/shop/[1-9]* >/dev/null 2>&1 || $(MAKE) --silent shop
	@test ! -f $(HISTORIES) || $(MAKE) --silent $(LOADED)
	@CHORUS_REDIS_DIR=$(dir $(LOADED)) $(BIN)/chorus-serve serve --model shop --port $(CHORUS_PORT) | \
		{ trap '' INT; while IFS= read -r line; do echo "$$line"; \
		case $$line in Model*) echo "$$TRY";; esac; done; }

# The moment lies after the shop's last event; without it the clock of this machine decides.
define TRY

Try, in another terminal:
  curl -s http://127.0.0.1:$(CHORUS_PORT)/recommend -d '{"user_id": "u0202", "query": "gift for a gardener", "k": 2, "context": {"timestamp": "2025-10-06T19:00:00Z"}}'
or open http://127.0.0.1:$(CHORUS_PORT)/docs. Ctrl-C ends the service.
endef
export TRY

shop: $(SERVED)  ## Make the demo shop's data, train on it and publish a bundle
	@$(BIN)/chorus-train demo data/shop
	@$(BIN)/chorus-train run data/shop/shop.toml --no-alone

$(LOADED): $(HISTORIES)
	@CHORUS_REDIS_DIR=$(dir $@) $(BIN)/chorus-serve load $< --model shop
	@touch $@

test: $(TESTED)  ## Run the tests
	@CHORUS_DATA=$(CHORUS_DATA) $(BIN)/python -m pytest

bench: bench-tools $(BENCHED) $(PEERS)/.with-peers  ## Measure the service beside its limits and its peers, in 20 minutes
	@$(BIN)/python -m benchmarks.speed --peers $(PEERS)

chaos: bench-tools $(BENCHED)  ## Drill overload, faults and endings, in under 15 minutes
	@$(BIN)/python -m benchmarks.chaos

soak: bench-tools $(BENCHED)  ## Load the service for half an hour while events, items and versions come
	@$(BIN)/python -m benchmarks.soak

bench-tools:
	@for tool in wrk redis-server taskset; do command -v $$tool >/dev/null || \
		{ echo "$$tool is missing; on Debian: apt-get install wrk redis-server util-linux"; exit 2; }; done

# Other servers want other packages than ours: they have an environment of their own.
$(PEERS)/.with-peers: benchmarks/speed/peers.txt
	@echo "Installing the service's peers into $(PEERS): some minutes the first time"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --progress-bar on $(if $(TORCH),--retries 0 --find-links $(TORCH)) -c $< torch
	@$(PEERS)/bin/python -m pip install --quiet --progress-bar on -c $< mosec bentoml litserve 'ray[serve]' \
		sentence-transformers fastapi uvicorn uvloop httptools 'redis[hiredis]' onnxruntime numpy tokenizers msgspec tzdata
	@touch $@

lint: $(TESTED)  ## Check style, types, the Dockerfile and the compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: $(TESTED)  ## Put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints:  ## Write constraints.txt anew: the newest versions that pyproject.toml allows
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet $(if $(TORCH),--retries 0 --find-links $(TORCH)) torch
	build/constraints/bin/python -m pip install --quiet '.[train,embedded,score,otel,dev,benchmarks]'
	{ grep '^#' constraints.txt; build/constraints/bin/python -m pip freeze --all | \
		grep -vE '^(chorus|pip|wheel)\b' | sed -E 's/\+[a-z0-9]+$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

lock:  ## Write service.lock anew: what the service's image installs, of constraints.txt, with hashes
	$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install --quiet uv
	{ grep '^#' service.lock; echo setuptools | build/lock/bin/uv pip compile --quiet pyproject.toml - -c constraints.txt \
		--generate-hashes --python-version 3.11.9 --python-platform linux --no-header --no-annotate; } > build/service.lock
	mv build/service.lock service.lock

audit:  ## Ask PyPI's list of advisories for what service.lock names; needs the network, and fails without it
	$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes -r service.lock

image:  ## Build the service image
	docker build -t chorus .

image-training:  ## Build the training image
	docker build -t chorus-training --target training .

compose-up:  ## Redis and the service in containers, with the bundles of this folder
	BUNDLES=./$(SHELF) docker compose up --build --detach --wait

compose-down:  ## Stop them; their data stays in its volume
	docker compose down

clean:  ## Remove what tools made; data, runs, bundles and the environment stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
