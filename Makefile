# People and CI run the same commands. A second call of any target installs nothing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPREAD := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# As tests/analysis/browser.py looks for one.
SAY_WITHOUT_BROWSER := for name in chromium chromium-browser google-chrome chrome; do \
	command -v $$name > /dev/null && exit 0; done; \
	echo "SKIPPED: the tests of the report in a browser, since there is no Chromium on the path (Debian: apt-get install chromium)"

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	touch $@

setup: $(READY)  ## create the environment with pinned dependencies

demo: $(READY)   ## the main job on built-in synthetic data: no download, no data, 2 CPU cores
	$(BIN)/python -m sweep.data_efficiency --preset demo --results results/demo
	$(BIN)/python -m analysis.report results/demo

test: $(READY)   ## the tests that need no GPU, data or patience
	@$(SAY_WITHOUT_BROWSER)
	$(BIN)/python -m pytest -m "not slow and not gpu" $(SPREAD)

test-slow: $(READY)  ## the long tests: kills and restarts of whole sweeps, pictures of the report
	@$(SAY_WITHOUT_BROWSER)
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(READY)  ## the tests that need a GPU
	CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES:-0} $(BIN)/python -m pytest -m gpu

test-validation: $(READY)  ## the statistics against other packages as they are now, which it installs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,validation]' --constraint constraints.txt
	$(BIN)/python -m pytest tests/analysis/test_other_software_live.py tests/trainables/test_surface_distance.py

test-trackers:   ## the export to MLflow and W&B as they are now, in an environment of its own
	test -x .venv-trackers/bin/python || $(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,mlflow,wandb]'
	.venv-trackers/bin/python -m pytest tests/sweep/test_export.py

check: $(READY)  ## format, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lowest:          ## the tests on the lowest versions that pyproject.toml allows
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	.venv-lowest/bin/python -m pytest -m "not slow and not gpu" $(SPREAD)

clean:           ## remove results and caches, keep the environment
	rm -rf results .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup demo test test-slow test-gpu test-validation test-trackers check lowest clean
.DEFAULT_GOAL := help
