# 'make help' lists what there is. Every target sets itself up (.ci/setup) and may be called first.

ENV ?= local
NETDEV ?=
FIREWALL ?=
DHCP ?=
REPORT ?= build/conformance
N ?=
DISK ?=
SSH_KEY ?=
IMAGE ?=
ARGS ?=

PYTHON_IN_VENV = .venv/bin/python
LOCAL = $(PYTHON_IN_VENV) -m conformance.environments.local
# Where no Docker engine answers, one is started for the length of the command.
ENGINE = $(if $(filter docker,$(ENV)),.ci/with-engine)
# Paths may have blanks: they go to the command as one word each.
WHERE = $(if $(filter-out local,$(ENV)),--env $(ENV)) $(if $(DISK),--disk '$(DISK)') $(if $(SSH_KEY),--ssh-key '$(SSH_KEY)')
OPTIONS = $(WHERE) $(if $(NETDEV),--netdev $(NETDEV)) $(if $(FIREWALL),--firewall $(FIREWALL)) \
	$(if $(DHCP),--dhcp $(DHCP)) $(if $(N),-n $(N)) $(ARGS)

.PHONY: help setup conformance test test-environments nova-test images-test linux-image freebsd-image mutants lint bench manifest clean

help: ## list the targets
	@echo "usage: make TARGET [VARIABLE=value …]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 22
	@echo
	@echo "  ENV=docker                    where the specs run: local (default), docker, linux-vm, freebsd-vm,"
	@echo "                                ssh://USER@HOST:PORT"
	@echo "  DISK=PATH SSH_KEY=PATH        for ENV=freebsd-vm: a disk of one's own, and the key that its root lets in;"
	@echo "                                SSH_KEY also for ssh://…"
	@echo "  IMAGE=PATH                    for freebsd-image: FreeBSD's image, downloaded already"
	@echo "  NETDEV=package.module:Class   the driver of network devices to judge (default: the platform's)"
	@echo "  FIREWALL=nftables             the firewall to judge, so or as package.module:Class (default: the platform's)"
	@echo "  DHCP=package.module:Class     the DHCP manager to judge (default: the platform's)"
	@echo "  N=4                           how many specs at once (default: one a processor)"
	@echo "  REPORT=DIR                    where reports go (default: build/conformance)"
	@echo "  ARGS='--only BR-04 --keep'    anything else for refnet-conformance"

setup: ## make .venv ready, with system packages where they are missing
	@.ci/setup

conformance: ## run the conformance suite, and write a report
	@.ci/setup --for $(ENV)
	@$(ENGINE) .venv/bin/refnet-conformance run --report $(REPORT) $(OPTIONS)

mutants: ## run the suite against wrong drivers: every one has to be caught
	@.ci/setup --for $(ENV)
	@$(ENGINE) .venv/bin/refnet-conformance mutants --report build/mutants $(if $(N)$(filter freebsd-vm,$(ENV)),,-n 4) $(OPTIONS)

test: ## run the tests of refnet and of the suite
	@.ci/setup --for tests
	@$(LOCAL) $(PYTHON_IN_VENV) -m pytest -q -n $(or $(N),2) tests $(ARGS)

test-environments: ## run the tests that need an engine, virtual machines and a browser
	@.ci/setup --for environments
	@.ci/with-engine $(PYTHON_IN_VENV) -m pytest -q tests/environments $(ARGS)

nova-test: ## run Nova's, os-vif's and Neutron's own code over refnet, from PyPI in .venv-nova
	@.ci/setup --for nova
	@$(if $(filter linux-vm,$(ENV)),.ci/setup --for linux-vm && .venv-nova/bin/python -W ignore tests/nova/in_linux_vm.py \
		,.venv-nova/bin/python -m conformance.environments.local .venv-nova/bin/python -m pytest -q tests/nova) $(ARGS)

images-test: ## see that a container and a VM of images/linux have what the specs ask for
	@.ci/setup --for images
	@.ci/with-engine $(PYTHON_IN_VENV) -m pytest -q tests/images $(ARGS)

linux-image: ## build the image of images/linux, if it is not there yet, and tell where it is
	@.ci/setup --for image
	@$(PYTHON_IN_VENV) -m conformance.environments.images

freebsd-image: ## make the disk of images/freebsd-vm from FreeBSD's own image, if it is not there yet, and tell where it is
	@.ci/setup --for freebsd-image
	@$(PYTHON_IN_VENV) -m conformance.environments.freebsd_image $(if $(IMAGE),'$(IMAGE)')

lint: setup ## ruff and mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

bench: ## measure against peers and against the floor (root), and write benchmarks/RESULTS.md
	@.ci/setup --for images
	@.ci/with-engine $(PYTHON_IN_VENV) -m benchmarks $(ARGS)

manifest: setup ## write conformance/manifest.json anew, after a spec has come
	@.venv/bin/refnet-conformance specs --json >build-manifest.json && mv build-manifest.json conformance/manifest.json

clean: ## remove what the targets have made in this folder
	rm -rf .venv .venv-nova build .mypy_cache .ruff_cache .pytest_cache .hypothesis
