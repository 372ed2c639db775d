# The commands of this repository. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-stop devnode devnode-stop test test-systemd crash bench lint

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

quickstart: ## from a bare machine to a VM that boots, made through the API
	@packaging/quickstart start

quickstart-stop: ## end and remove what quickstart made
	@packaging/quickstart stop

devnode: ## a throw-away node to try things on (target/devnode/env says where)
	@tests/devnode start

devnode-stop: ## end and remove it
	@tests/devnode stop

test: ## everything that continuous integration runs
	@tests/run-all

crash: ## the crash campaign: make crash ROUNDS=50 [SEED=n]
	@tests/crash "$(or $(ROUNDS),50)" "$(or $(SEED),7)"

bench: ## every figure against its floor: make bench [QUICK=1] [PEERS=1] [ONLY=real,reads,scale,world,soak]
	@QUICK="$(QUICK)" PEERS="$(PEERS)" ONLY="$(ONLY)" VMS="$(VMS)" SOAK="$(SOAK)" bench/run

test-systemd: ## the service on a real systemd with a real libvirt, in a container of its own: minutes
	@tests/systemd-container

lint: ## formatting, clippy, shellcheck, cargo-deny
	@tests/lint
