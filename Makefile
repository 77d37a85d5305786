# On a new machine with Python 3.11+ and make, `make demo` and `make test` install everything else by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SRC := .cache/src
PACKAGES := daemon demo logwarden model training

.DEFAULT_GOAL := help
.PHONY: help setup layout demo test lint format sim-campaign replay-hdfs bridge-figure chaos bench benchmark docs image deploy-test clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(STAMP)  ## install into .venv with every version pinned, once; the other targets call it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("logwarden needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

demo: setup  ## play a real recording through an embedded broker and show the alerts, in a minute (ARGS=--fast)
	$(BIN)/logwarden demo $(ARGS)

test: setup lint  ## everything: style, types, imports, units, properties, simulation, a real Kafka broker
	$(BIN)/python -m tests.together $(ARGS)
	$(BIN)/coverage report

layout: setup  # links the packages under one name, for tools that do not read pyproject.toml's table of folders
	@$(BIN)/python -m tests.layout $(SRC)

lint: layout
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --no-error-summary
	@$(BIN)/deptry $(PACKAGES) --no-ansi 2>.cache/deptry.txt || { cat .cache/deptry.txt; false; }
	@cd $(SRC) && { ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache >/dev/null || \
		../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache; }

format: setup  ## format the code
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

sim-campaign: setup  ## 5,000 simulated worlds on two cores in a quarter of an hour; continues where it stopped (ARGS=--worlds 100)
	$(BIN)/python -m tests.sim.campaign $(ARGS)

replay-hdfs: setup  ## play HDFS_2pct (222,579 raw lines) through a real broker and daemon; needs Java, Maven, LOGWARDEN_DATA
	$(BIN)/python -m tests.kafka.replay_hdfs $(ARGS)

bridge-figure: setup  ## 10,000 incidents to a server that fails a third of the time, with a bridge that is killed; needs Java, Maven
	$(BIN)/python -m tests.kafka.bridge_figure $(ARGS)

chaos: setup  ## an hour of faults against daemons on Kafka 3.9 and 4.1 (ARGS="--minutes 5", ARGS=--resume, ARGS=--list)
	$(BIN)/python -m tests.kafka.chaos $(ARGS)

bench: setup  ## compare the hot path with simpler ways, as ratios in one run
	$(BIN)/python -m tests.bench.hotpath

benchmark: setup  ## measure the shipped model again: BENCHMARKS.md, figures, plots; continues where it stopped; LOGWARDEN_DATA adds public data
	$(BIN)/logwarden evaluate --benchmark . --cache .cache/benchmark $(ARGS)

docs: layout  ## build the documentation site into .cache/site; it loads nothing from another host
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict # with --quiet it would count no warning

image:  ## build the container image and start it, without a Docker daemon (Debian, as root)
	deploy/test-image.sh

deploy-test: setup  ## check rules, dashboard, chart, unit, compose, shippers and workflows by their real tools (as root; ARGS=rules)
	$(BIN)/python -m tests.deploy $(ARGS)

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
