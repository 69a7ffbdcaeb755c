# 'make help' lists what there is. Every target sets itself up (.ci/setup) and may be called first.

NETDEV ?=
REPORT ?= build/conformance
N ?=
ARGS ?=

PYTHON_IN_VENV = .venv/bin/python
LOCAL = $(PYTHON_IN_VENV) -m conformance.environments.local
OPTIONS = $(if $(NETDEV),--netdev $(NETDEV)) $(if $(N),-n $(N)) $(ARGS)

.PHONY: help setup conformance test mutants lint bench manifest clean

help: ## list the targets
	@echo "usage: make TARGET [VARIABLE=value …]"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16
	@echo
	@echo "  NETDEV=package.module:Class   the driver to judge (default: the platform's)"
	@echo "  N=4                           how many specs at once (default: one a processor)"
	@echo "  REPORT=DIR                    where reports go (default: build/conformance)"
	@echo "  ARGS='--only BR-04 --keep'    anything else for refnet-conformance"

setup: ## make .venv ready, with system packages where they are missing
	@.ci/setup

conformance: setup ## run the conformance suite, and write a report
	@.venv/bin/refnet-conformance run --report $(REPORT) $(OPTIONS)

test: setup ## run the tests of refnet and of the suite
	@$(LOCAL) $(PYTHON_IN_VENV) -m pytest -q -n $(or $(N),2) tests $(ARGS)

mutants: setup ## run the suite against wrong drivers: every one has to be caught
	@.venv/bin/refnet-conformance mutants --report build/mutants -n $(or $(N),4) $(ARGS)

lint: setup ## ruff and mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

bench: setup ## measure against peers and against the floor (root), and write benchmarks/RESULTS.md
	@$(PYTHON_IN_VENV) -m benchmarks $(ARGS)

manifest: setup ## write conformance/manifest.json anew, after a spec has come
	@.venv/bin/refnet-conformance specs --json >build-manifest.json && mv build-manifest.json conformance/manifest.json

clean: ## remove what the targets have made in this folder
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis
