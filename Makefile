# Every target is also a plain command; docs/reference/make.md shows both.
PYTHON ?= python3
DATA ?=
CONFIG ?=
ARGS ?=
BIN := .venv/bin
UV_VERSION := 0.13.9
RUN ?=
# The text of a variable as one word of the shell, whatever is in it: spaces, quotes, dollar signs.
quoted = '$(subst ','\'',$(1))'
one_word = $(call quoted,$(value $(1)))
OPTIONS = $(if $(value DATA),$(call one_word,DATA)) $(if $(value CONFIG),--config $(call one_word,CONFIG)) $(ARGS)
# The run that evaluate and interpret speak of: RUN=..., else the newest finished one.
NEWEST = $(shell ls -t runs/*/status.json runs/*/*/status.json 2>/dev/null | while IFS= read -r file; do \
	if grep -q '"status": "done"' "$$file"; then dirname "$$file"; break; fi; done)
THE_RUN = $(if $(value RUN),$(call one_word,RUN),$(call quoted,$(or $(NEWEST),$(error No finished run in runs/*/ or runs/*/*/. \
	Give one: make $@ RUN=runs/NAME, or train one: make train))))

.DEFAULT_GOAL := help
.PHONY: help setup setup-extras train lr-find evaluate interpret report export demo experiments test test-lowest test-all bench docs check format clean

help:  ## Show this list
	@echo "plainfilm: make TARGET [DATA=folder] [CONFIG=file.yaml] [ARGS='--epochs 5'] [RUN=runs/NAME]"
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-11s %s\n", $$1, $$2}'

setup: .venv/.ready  ## Make .venv with everything locked (downloads about 3 GB on Linux)

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "plainfilm needs Python 3.11 or newer; found %s. Try: make setup PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup-extras: setup  ## Add the optional extras to .venv, as requirements-extras.lock names them (82 MB)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements-extras.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .

train: setup  ## The whole main job: train, evaluate on test once, draw the figures, write the report
	@set -e; run="runs/$$(date +%Y%m%d-%H%M%S)-$$$$"; \
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm train $(OPTIONS) --out "$$run"; \
	if [ ! -f "$$run/status.json" ]; then exit 0; fi; \
	if grep -q '"seal": null' "$$run/status.json"; then split=valid; else split=test; fi; \
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm evaluate "$$run" --split $$split; \
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm interpret "$$run" --split $$split; \
	$(BIN)/plainfilm report "$$run"

lr-find: setup  ## Find a learning rate; changes nothing
	$(BIN)/plainfilm lr-find $(OPTIONS)

evaluate: setup  ## Valid metrics of RUN (default: the newest run); ARGS='--split test' evaluates on test
	$(BIN)/plainfilm evaluate $(THE_RUN) $(ARGS)

interpret: setup  ## Figures of RUN (default: the newest run)
	$(BIN)/plainfilm interpret $(THE_RUN) $(ARGS)

report: setup  ## One HTML file of RUN (default: the newest run): RUN/report.html
	$(BIN)/plainfilm report $(THE_RUN) $(ARGS)

export: setup  ## A bundle of RUN (default: the newest run) that predicts without torch: RUN/bundle
	$(BIN)/plainfilm export $(THE_RUN) $(ARGS)

DEMO ?= runs/demo
demo: setup  ## Everything once on drawn phantoms, in minutes: train, evaluate, report, export, predict
	@if [ -e $(call one_word,DEMO) ]; then echo $(call one_word,DEMO)" exists; remove it, or: make demo DEMO=runs/another"; exit 4; fi
	$(BIN)/plainfilm phantom $(call one_word,DEMO)/phantoms --images 1200 --size 128 -q
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm train $(call one_word,DEMO)/phantoms --config experiments/phantom.yaml --out $(call one_word,DEMO)/run
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm evaluate $(call one_word,DEMO)/run --split test
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm interpret $(call one_word,DEMO)/run -q
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm report $(call one_word,DEMO)/run -q
	PLAINFILM_NO_NEXT=1 $(BIN)/plainfilm export $(call one_word,DEMO)/run --out $(call one_word,DEMO)/bundle -q
	$(BIN)/plainfilm predict $(call one_word,DEMO)/bundle $(call one_word,DEMO)/phantoms --out $(call one_word,DEMO)/predictions.csv -q
	@printf '\nOpen:\n  %s\n  %s\n  %s\n' $(call one_word,DEMO)/run/report.html $(call one_word,DEMO)/bundle/MODEL_CARD.md $(call one_word,DEMO)/predictions.csv

GRID = $(if $(value CONFIG),$(call one_word,CONFIG),experiments/smoke.yaml)
experiments: setup  ## The grid CONFIG (default: a small one on drawn phantoms), then its table beside the runs
	$(BIN)/plainfilm experiments run $(GRID) $(if $(value DATA),--data $(call one_word,DATA)) $(ARGS)
	@name=$$(basename $(GRID)); runs="runs/experiments/$${name%.*}"; \
	if [ -d "$$runs" ]; then $(BIN)/plainfilm experiments table "$$runs" $(GRID); fi  # none after a dry run

# Tests are rewritten and compiled once, not by each worker and each process that they start (half of what collecting takes).
test test-lowest test-all: export PYTHONDONTWRITEBYTECODE :=

# a worker for each core, of which each keeps the libraries that it imported: 1 to 2 GB
SPREAD := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: setup  ## Unit and integration tests on drawn images
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration tests/unit -m "not campaign" $(SPREAD) $(ARGS)

LOWEST := build/lowest
test-lowest: setup  ## Unit tests with the lowest allowed versions, in build/lowest (downloads about 3 GB on Linux)
	mkdir -p $(LOWEST)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(BIN)/python pyproject.toml --extra dev -o $(LOWEST)/requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)/venv
	$(BIN)/uv pip sync --quiet --python $(LOWEST)/venv/bin/python $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/venv/bin/python --no-deps --no-build-isolation --editable .
	OMP_NUM_THREADS=1 $(LOWEST)/venv/bin/python -m pytest tests/unit -m "not campaign" $(SPREAD) $(ARGS)

test-all: setup  ## All tests; those on real images need PLAINFILM_DATA
	$(BIN)/python -m pytest tests $(ARGS)

bench: setup  ## Our engine against its peers, in one run; needs PLAINFILM_DATA and a quiet machine
	$(BIN)/python benchmarks/bench.py $(ARGS)

docs: setup  ## The pages of docs/ as a site, strictly: build/docs/site
	$(BIN)/python tools/docs_reference.py
	$(BIN)/python tools/docs_site.py

check: setup  ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/check_advisories.py

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove caches and build leftovers; runs and .venv stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
