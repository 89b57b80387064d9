# Short forms of `rlsweep …`. The first target that needs it makes the virtual environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RLSWEEP := $(BIN)/rlsweep
PEERS ?= .venv-bench
HOST ?= 127.0.0.1
PORT ?= 5000
GAMES ?= 5
VARIANT = $(if $(CUDA),cuda,cpu)
IMAGE ?= rlsweep:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)-$(VARIANT)
comma := ,

.DEFAULT_GOAL := help
.PHONY: help sweep validate plan report status sync best rollout ui doctor image test test-slow chaos bench check audit format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sweep: $(VENV)/.installed ## Run a sweep: SPEC=breakout_lr.yaml [PROFILE=smoke] [ARGS="--set search.trials=4"]
	$(RLSWEEP) run $(call needed,SPEC) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

validate: $(VENV)/.installed ## Check a spec: SPEC=… [PROFILE=…]
	$(RLSWEEP) validate $(call needed,SPEC) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

plan: $(VENV)/.installed ## Show the trials of a spec: SPEC=… [PROFILE=…]
	$(RLSWEEP) plan $(call needed,SPEC) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

report: $(VENV)/.installed ## Compare the configurations of a run: RUN=breakout_lr
	$(RLSWEEP) report $(call needed,RUN) $(ARGS)

status: $(VENV)/.installed ## Show how trials stand: [RUN=…]
	$(RLSWEEP) status $(RUN) $(ARGS)

sync: $(VENV)/.installed ## Send MLflow what it does not have of a run: RUN=…
	$(RLSWEEP) sync $(call needed,RUN) $(ARGS)

best: $(VENV)/.installed ## Name the winner of a run and export its policy: RUN=…
	$(RLSWEEP) best $(call needed,RUN) $(ARGS)

rollout: $(VENV)/.installed ## Play whole games with the best policy: RUN=… [GAMES=5] [VIDEO=breakout.mp4]
	$(RLSWEEP) rollout $(call needed,RUN) --games $(GAMES) $(if $(VIDEO),--video $(VIDEO)) $(ARGS)

ui: $(VENV)/.installed ## Serve the MLflow UI: [HOST=127.0.0.1] [PORT=5000]
	$(RLSWEEP) ui --host $(HOST) --port $(PORT) $(ARGS)

doctor: $(VENV)/.installed ## Say what of this machine would keep a sweep from running well: [ARGS=--json]
	$(RLSWEEP) doctor $(ARGS)

image: ## Build the image: [CUDA=1] [TORCH_INDEX=…, of PyTorch's CPU build] [PIP_CONF=/etc/pip.conf]
	DOCKER_BUILDKIT=1 docker build --file docker/Dockerfile --tag $(IMAGE) \
		--build-arg VARIANT=$(VARIANT) $(if $(TORCH_INDEX),--build-arg TORCH_INDEX=$(TORCH_INDEX)) \
		$(if $(PIP_CONF),--secret id=pip$(comma)src=$(PIP_CONF)) $(ARGS) .

test: $(VENV)/.installed-dev ## Run the unit and integration tests: [ARGS="-k atari"]
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.installed-dev ## Run the tests that train and that open a browser
	$(BIN)/python -m pytest -m slow $(ARGS)

chaos: $(VENV)/.installed-dev ## Do to real sweeps what happens to them, and print the table
	$(BIN)/python -m pytest -m chaos $(ARGS)

bench: $(VENV)/.installed $(PEERS)/.installed ## Measure against SB3, stock RLlib and Ray's tables: [ARGS="--only ppo,dqn --seconds 10"]
	$(BIN)/python -m benchmarks --peers $(PEERS)/bin/python $(ARGS)
	$(if $(findstring --only,$(ARGS)),,$(BIN)/python -m benchmarks.large_runs)

check: $(VENV)/.installed-dev ## Lint, format check and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

audit: $(VENV)/.installed-audit ## Look up what is installed in the database of known vulnerabilities
	$(BIN)/python .ci/audit.py

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: $(VENV)/.installed-dev ## Write what is installed now to constraints.txt
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' | LC_ALL=C sort -f > constraints.txt

clean: ## Remove the virtual environments and caches; runs/ stays
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing rlsweep into $(VENV), minutes the first time"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/.installed-audit: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]'
	touch $@

$(PEERS)/.installed: pyproject.toml constraints.txt
	@echo "installing the peers of the benchmark into $(PEERS), minutes the first time"
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m benchmarks.peers > $(PEERS)/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints.txt --requirement $(PEERS)/requirements.txt
	touch $@

needed = $(or $($(1)),$(error say which: $(1)=…, see `make help`))
