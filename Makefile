# Luntra. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen --no-sync
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export PYTHONUNBUFFERED := 1
PYTEST := $(RUN) pytest
CRD := crds/luntra.io_modeldeployments.yaml
OPENAPI := inference-image/openapi/management.json
PROTO := inference-image/src/luntra_serving/server/grpc/open_inference.proto
PROTOC = $(RUN) python -m grpc_tools.protoc --proto_path=$(dir $(PROTO)) --descriptor_set_out

.PHONY: help setup demo test unit simulate integration e2e scenario soak lint fmt types crds protos images dashboards cluster-up cluster-down bench bench-serving bench-operator bench-analysis clean binaries pilot

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

setup: ## Install everything that the other targets need (uv, Python packages)
	@.ci/setup
	@$(UV) sync --frozen --all-groups --quiet

demo: setup ## Watch a real model roll from v1 to v2 on a real cluster, and bad versions be refused
	@$(RUN) python -m e2e.demo

test: lint unit integration e2e ## Prove everything: lint, unit, integration and end-to-end tests

unit: setup ## Unit tests and tests of the real server process; no cluster
	@$(PYTEST) --numprocesses 2 --dist loadfile tests --ignore=tests/integration --ignore=tests/charts

simulate: setup ## The whole controller in a simulated world, one story per seed (SEEDS=2000, FIRST=1); a failing seed is told
	@$(RUN) python -m tests.simulation --seeds $(or $(SEEDS),2000) --first $(or $(FIRST),1)

integration: setup binaries ## The chart, and the operator against a real API server (helm, etcd, kube-apiserver as processes)
	@$(PYTEST) tests/charts tests/integration

e2e: setup binaries pilot cluster-up images ## The scenarios and the demo on a real kind cluster
	@$(PYTEST) e2e/scenarios

scenario: setup binaries pilot cluster-up images ## One acceptance scenario wherever it is tested: make scenario R=R7 (or H3)
	@test -n "$(R)" || { echo "which one? make scenario R=R7"; exit 2; }
	@$(PYTEST) tests/operator tests/serving tests/integration e2e/scenarios -k "_$(shell echo $(R) | tr RH rh)_"

soak: setup binaries cluster-up images ## What takes longer than `make test` may: swaps, storms, fuzzing and rollouts in full length, the torch image
	@LUNTRA_STORM_ROUNDS=16384 LUNTRA_FUZZ_INPUTS=200000 LUNTRA_SWAPS=500 $(PYTEST) -s \
		tests/serving/swap/test_storm.py tests/serving/test_fuzz.py tests/serving/test_endurance.py
	@$(RUN) python -m tests.simulation --first 1000001 --seeds $(or $(SEEDS),100000)
	@LUNTRA_EVERY_WRITE=1 LUNTRA_CHAOS=200 $(PYTEST) -s tests/integration/test_every_write.py
	@LUNTRA_JUDGED=50 $(PYTEST) -s tests/integration/test_verdicts.py -k every_second
	@LUNTRA_OUTAGE=60 $(PYTEST) tests/integration/test_api_server_outage.py -k lease
	@$(PYTEST) e2e/soak

lint: setup types ## Formatting, lint, import contracts, generated files, chart
	@$(RUN) ruff format --check --quiet . || { echo "run: make fmt"; exit 1; }
	@$(RUN) ruff check --quiet .
	@$(RUN) lint-imports
	@$(RUN) python -m luntra_operator.api.crd | diff - $(CRD) > /dev/null || { echo "$(CRD) is not what the types say; run: make crds"; exit 1; }
	@diff $(CRD) charts/luntra/files/$(notdir $(CRD)) > /dev/null || { echo "the chart's CRD differs from $(CRD); run: make crds"; exit 1; }
	@$(PROTOC)=/dev/stdout $(notdir $(PROTO)) | cmp --quiet - $(PROTO:.proto=.binpb) || { echo "$(PROTO:.proto=.binpb) is not what the .proto says; run: make protos"; exit 1; }
	@$(RUN) python -m luntra_serving.server.openapi | diff - $(OPENAPI) > /dev/null || { echo "$(OPENAPI) is not what the types say; run: make crds"; exit 1; }

types: setup ## mypy, strict
	@$(RUN) mypy --no-error-summary operator/src inference-image/src benchmarks charts e2e tests

fmt: setup ## Format and mend what can be mended
	@$(RUN) ruff format --quiet .
	@$(RUN) ruff check --fix --quiet .

crds: setup ## Generate the CRD and the description of the management port from the types
	@$(RUN) python -m luntra_operator.api.crd > $(CRD)
	@$(RUN) python -m luntra_serving.server.openapi > $(OPENAPI)
	@cp $(CRD) charts/luntra/files/

dashboards: setup ## Generate Grafana's dashboards in the chart
	@$(RUN) python -m charts.dashboards

protos: setup ## Compile the gRPC protocol's messages
	@$(PROTOC)=$(PROTO:.proto=.binpb) $(notdir $(PROTO))

binaries: setup
	@$(RUN) python -m e2e.kind binaries > /dev/null

pilot: setup
	@$(RUN) python -m e2e.kind binaries pilot-discovery > /dev/null

images: setup ## Build the operator's and the onnx inference image (VARIANT=torch for the 5 GB one)
	@$(RUN) python -m e2e.kind images --variant $(or $(VARIANT),onnx)

cluster-up: setup ## Make the kind cluster `luntra`, or find it well
	@$(RUN) python -m e2e.kind up

cluster-down: setup ## Remove it, and everything that it left on this machine but for the cache
	@$(RUN) python -m e2e.kind down

bench: bench-serving bench-operator bench-analysis ## Benchmarks against the peers

bench-serving: setup ## The model server beside Triton's Python backend, MLServer and KServe, 25 minutes (QUICK=1: 4)
	@$(RUN) python -m benchmarks.serving $(if $(QUICK),--quick)

bench-operator: setup ## The operator beside Flagger on a real API server, 40 minutes (QUICK=1: 10)
	@$(RUN) python -m benchmarks.operator $(if $(QUICK),--quick)

bench-analysis: setup ## Verdicts on simulated traffic beside other rules, 5 minutes (QUICK=1: half a minute)
	@$(RUN) python -m benchmarks.analysis $(if $(QUICK),--quick)

clean: ## Remove what was built in this folder; the cache in ~/.cache/luntra and the cluster stay
	rm -rf build dist .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
