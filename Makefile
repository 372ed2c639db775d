# The commands of this repository. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-stop devnode devnode-stop test test-systemd crash lint deb rpm fuzz fuzz-api docs-api bench

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

deb: ## a Debian package, in target/package (HVNODE_BUILD=debug for a quick one)
	@packaging/install-packages build package
	@packaging/packages deb

rpm: ## an RPM package, in target/package
	@packaging/install-packages build package
	@packaging/packages rpm

bench: ## every figure against its floor: make bench [QUICK=1] [PEERS=1] [ONLY=real,reads,scale,world,soak,driver]
	@QUICK="$(QUICK)" PEERS="$(PEERS)" ONLY="$(ONLY)" VMS="$(VMS)" SOAK="$(SOAK)" bench/run

test-systemd: ## the Debian package on a real systemd with a real libvirt, in a container of its own: minutes
	@tests/systemd-container

fuzz-api: ## the APIs against their OpenAPI documents, with right and wrong requests: make fuzz-api [MAX_EXAMPLES=25] [SEED=7] [DIALECTS="native chimestack openstack"]
	@MAX_EXAMPLES="$(or $(MAX_EXAMPLES),25)" SEED="$(or $(SEED),7)" DIALECTS="$(DIALECTS)" tests/fuzz-api

docs-api: ## docs/api and the OpenAPI documents, made from the lists of routes
	@cargo run --locked --quiet -p hvnode-api --example docs_api

lint: ## formatting, clippy, shellcheck, cargo-deny
	@tests/lint

fuzz: ## every fuzz target for a while: make fuzz SECONDS=60
	@packaging/install-packages build fuzz
	@tests/fuzz-code $(if $(filter command line environment,$(origin SECONDS)),"$(SECONDS)",20)
