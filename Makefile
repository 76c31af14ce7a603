# What a person types; a bare `make` lists the targets. Needs python3 (3.11 or newer), git and make;
# everything else is installed into .venv.

PYTHON ?= python3
VENV   ?= .venv
CORES  ?= 4
ARGS   ?=
TEST_WORKERS ?= 2
SHARED := -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder  # tests/conftest.py says which files come first
SLURM_PACKAGES := slurmctld slurmd slurm-client munge
KILLS  ?= 25
SEED   ?= 1

BIN    := $(VENV)/bin
LOWEST := .venv-lowest
# The stamp holds the folder the environment was made in: an environment does not survive being moved.
READY  := $(VENV)/.ready-for
UV     := $(shell sed -n 's/^ *"\(uv==[^"]*\)",$$/\1/p' pyproject.toml)
MOVED  := $(if $(filter-out $(CURDIR),$(shell cat $(READY) 2>/dev/null)),moved)

.DEFAULT_GOAL := help
.PHONY: help env submission wheel test test-slow test-slurm slurm-packages test-gpu test-lowest torture benchmarks full-scale lint format clean moved

help: ## list the targets
	@echo 'make TARGET [CORES=4] [ARGS="--configfile presets/smoke.yaml"] [PYTHON=python3.12]'
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  %-15s%s\n", $$1, $$2 }' Makefile

env: $(READY) ## make .venv with the exact versions pinned in pyproject.toml

submission: $(READY) ## run the whole workflow; without data of your own on a phantom it makes itself
	$(BIN)/snakemake --cores $(CORES) submission $(ARGS)

wheel: $(READY) ## build dist/cspine-….whl: the whole project in one file
	$(BIN)/python -m cspine wheel

# Two workers of two threads share two cores: a thread that waits must not spin.
test test-slurm test-lowest: export OMP_WAIT_POLICY = PASSIVE
test: $(READY) ## run the tests (ARGS="tests/test_store.py -x" for some of them)
	$(BIN)/python -m pytest $(SHARED) $(ARGS)

test-slow: $(READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu and not slurm" $(ARGS)

test-slurm: $(READY) ## those of them on a Slurm cluster of this machine's own (needs root and slurm-packages)
	$(BIN)/python -m pytest -m slurm $(ARGS)

slurm-packages: ## install what test-slurm needs: Debian's Slurm, as root
	apt-get update --quiet
	DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $(SLURM_PACKAGES)

test-gpu: $(READY) ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu $(ARGS)

test-lowest: $(LOWEST)/.ready-for ## run the tests with the oldest versions that pyproject.toml admits
	CSPINE_LOWEST=1 $(LOWEST)/bin/python -m pytest $(SHARED) -W default $(ARGS)

torture: $(READY) ## kill -9 a run KILLS times by a clock seeded with SEED; it must end in the same bytes
	KILLS=$(KILLS) SEED=$(SEED) $(BIN)/python -m pytest -m torture $(ARGS)

benchmarks: $(READY) ## compare runs, reading, the cache, the loader and predicting with what they are measured against
	$(BIN)/python benchmarks/store_hit.py
	$(BIN)/python benchmarks/no_op.py
	$(BIN)/python benchmarks/resume.py
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/predict.py

full-scale: $(READY) ## rehearse the full set without its pixels: every table stage, planning, and asking (15 minutes)
	$(BIN)/python benchmarks/full_scale.py

lint: $(READY) ## check style, types, the workflow's files and the pins; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python envs/pins.py --check

format: $(READY) ## rewrite Python and workflow files in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean: ## remove environments and tool caches, never data/, results/ or work/
	rm -rf $(VENV) $(LOWEST) uv.lock build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests envs -name __pycache__ -type d -prune -exec rm -rf {} +

# -- environments --------------------------------------------------------------------------------------------------

$(READY): pyproject.toml $(MOVED)
	@$(call check_python)
	@test -f $(READY) && test -z "$(MOVED)" || $(PYTHON) -m venv --clear $(VENV)
	@echo "environment: installing the pinned versions into $(VENV) (on Linux 3 GB to download, 6 GB on disk)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"
	@env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --no-python-downloads --compile-bytecode
	@printf '%s\n' '$(CURDIR)' > $(READY)

# `lowest-direct`: our own dependencies at the lower end of their ranges, what those need as new as they allow.
# Those old versions have wheels for Python 3.11 only. torchvision comes with timm; its newest demands a newer torch.
$(LOWEST)/.ready-for: pyproject.toml $(READY)
	@$(BIN)/uv venv --quiet --clear --no-python-downloads --python 3.11 $(LOWEST)
	@echo "environment: installing the oldest admitted versions into $(LOWEST)"
	@$(BIN)/uv pip install --quiet --no-config --python $(LOWEST)/bin/python \
		--resolution lowest-direct --compile-bytecode --editable . --group test 'torchvision<0.20'
	@printf '%s\n' '$(CURDIR)' > $@

moved:
	@echo "environment: $(VENV) was made in another folder, making it anew"

define check_python
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || { \
		echo "cspine needs Python 3.11 to 3.14, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments (no ensurepip);" \
			"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
endef
