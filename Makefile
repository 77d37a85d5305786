# Everything sets itself up: `make demo` and `make test` are all that a fresh machine needs, beyond Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SRC := .cache/src
PACKAGES := daemon demo logwarden model training

.DEFAULT_GOAL := help
.PHONY: help setup layout demo test lint format replay-hdfs bench image clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(STAMP)  ## virtual environment in .venv, with every version pinned (done once; the other targets call it)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("logwarden needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

demo: setup  ## the main job in a minute: a real recording through an embedded broker, alerts as they come (ARGS=--fast)
	$(BIN)/logwarden demo $(ARGS)

test: setup lint  ## everything: style, types, imports, units, properties, simulation, a real Kafka broker
	$(BIN)/python -m pytest $(ARGS)

layout: setup  # the packages under their one name, for tools that do not read pyproject.toml's table of folders
	@$(BIN)/python -m tests.layout $(SRC)

lint: layout
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --no-error-summary
	@$(BIN)/deptry $(PACKAGES) --no-ansi 2>.cache/deptry.txt || { cat .cache/deptry.txt; false; }
	@cd $(SRC) && { ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache >/dev/null || \
		../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache; }

format: setup  ## lay the code out
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

replay-hdfs: setup  ## HDFS_2pct (222,579 raw lines) through a real broker and a real daemon; needs Java, Maven, LOGWARDEN_DATA
	$(BIN)/python -m tests.kafka.replay_hdfs $(ARGS)

bench: setup  ## the hot path against simpler ways, as ratios in one run
	$(BIN)/python -m tests.bench.hotpath

image:  ## builds and really starts the container image, without a Docker daemon (Debian, as root)
	deploy/test-image.sh

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
