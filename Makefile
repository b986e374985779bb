# `make` alone lists the targets. Everything sets itself up first (scripts/setup.sh); a second run needs no network.
.DEFAULT_GOAL := help
.PHONY: help demo test bench explore replay simulate crash fuzz conform mutants lint up lock clean

LOAD ?= 50000
SALES ?= 6800,3600
READER ?= auto
CARD ?= emulator
SUITE ?= es256
EXPLORE_SECONDS ?= 900
SEED ?= 1
PAYMENTS ?= 100000
RUNS ?= 1000
APDUS ?= 100000
TRACE ?= build/explore/trace.json
export LOAD SALES READER CARD SUITE EXPLORE_SECONDS SEED PAYMENTS RUNS APDUS TRACE

PYTHON_BIN := .venv/bin/python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo "  demo takes LOAD=50000 SALES=6800,3600 (fen; the last sale is torn) and READER=auto|pcsc|inprocess,"
	@echo "  and CARD=emulator|javacard (the applet on a simulated chip), SUITE=es256|sm2;"
	@echo "  explore EXPLORE_SECONDS= (of its third scope), replay TRACE=, simulate SEED= PAYMENTS=, crash RUNS=, fuzz APDUS= SEED="

demo: ## a visitor's card pays while the server is away; ends with the conserved line
	@scripts/setup.sh runtime
	@PYTHONPATH=tests $(PYTHON_BIN) tests/demo/run.py --load "$$LOAD" --sales "$$SALES" --reader "$$READER" --card "$$CARD" --suite "$$SUITE"

test: ## lint and every test; ends with the counts of power cuts and kills
	@scripts/setup.sh full
	@scripts/lint.sh
	@rm -f build/tally.json
	@$(PYTHON_BIN) -m pytest -n 2 --dist loadgroup
	@$(PYTHON_BIN) tests/support/tally.py build/tally.json

bench: ## the figures of docs/benchmarks.md, into build/bench.json
	@scripts/setup.sh full
	@PYTHONPATH=tests $(PYTHON_BIN) tests/bench/run.py

explore: ## every state of a transfer, by the real code; ends with how many, and how many were wrong
	@scripts/setup.sh dev
	@PYTHONPATH=tests $(PYTHON_BIN) tests/explore/run.py --seconds "$$EXPLORE_SECONDS"

replay: ## play a trace that explore has written
	@scripts/setup.sh dev
	@PYTHONPATH=tests $(PYTHON_BIN) tests/explore/run.py --replay "$$TRACE"

simulate: ## a city of cards, tills and thieves under faults drawn from SEED; ends with the difference in fen
	@scripts/setup.sh dev
	@PYTHONPATH=tests $(PYTHON_BIN) tests/simulate/run.py --seed "$$SEED" --payments "$$PAYMENTS"

crash: ## till and server killed at random moments, and cut back to their last fsync; ends with the count
	@scripts/setup.sh full
	@PYTHONPATH=tests $(PYTHON_BIN) tests/crash/run.py --runs "$$RUNS"

fuzz: ## emulator and Java Card applet get the same APDUS drawn from SEED; ends with how often they differ
	@CARD=javacard scripts/setup.sh dev
	@PYTHONPATH=tests $(PYTHON_BIN) tests/differential/run.py --apdus "$$APDUS" --seed "$$SEED"

conform: ## the conformance suite on emulator and applet, and every check on every deliberately wrong card
	@CARD=javacard scripts/setup.sh full
	@CONFORM_ALL=1 $(PYTHON_BIN) -m pytest -n 2 --dist loadgroup tests/conformance

mutants: ## planted faults, each of which must be caught
	@scripts/setup.sh full
	@PYTHONPATH=tests $(PYTHON_BIN) tests/mutants/run.py

lint: ## ruff, mypy --strict, shellcheck
	@scripts/setup.sh dev
	@scripts/lint.sh

up: ## a server with the demo's authority, card and till, until Ctrl-C
	@scripts/setup.sh runtime
	@PYTHONPATH=tests $(PYTHON_BIN) tests/demo/up.py

lock: ## new versions into requirements/ (needs uv)
	@scripts/lock.sh

clean: ## removes build/ and both venvs
	rm -rf build hardware/applet/target .venv .venv-witness .hypothesis .pytest_cache .ruff_cache .mypy_cache
