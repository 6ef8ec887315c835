# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Everything made here lies in .cache/; the tests bring their own tools, see tests/gates/.
# `make test GATE=unit` runs one gate, `make test GATE="unit mypy"` those two.

.DEFAULT_GOAL := help
.PHONY: help test lint scenario bench bench-link bench-failover docs pins lab lab-images demo demo-clean clean

gates = sh tests/gates/bootstrap.sh

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## a shore and two ships on this machine, in a few minutes; on Debian, as root
	@sh tests/demo/machine.sh up

demo-clean: ## leave this machine as it was before the demo
	@sh tests/demo/machine.sh clean

test: ## run every gate, quick to slow; GATE=name runs one
	@$(gates) run $(GATE)

lint: ## run the gates that need no server
	@$(gates) run --lint

scenario: ## run a scenario of molecule/ from its beginning to its end; SCENARIO=shore
	@$(gates) with python -m tests.gates.containers $(SCENARIO)

bench: ## measure beside community.postgresql, 15 to 30 minutes; writes docs/benchmarks.md
	@$(gates) with python -m tests.bench

bench-link: ## seed a ship over a link that cuts, beside plain pg_basebackup; half an hour
	@$(gates) with python -m tests.bench.link

bench-failover: ## switch a shore's primary off again and again, and see for how long nobody takes writes; an hour
	@$(gates) with python -m tests.bench.failover

docs: ## build the documentation site of the plugins
	@$(gates) run docs

pins: ## renew tests/requirements/*.txt from the *.in beside them
	@$(gates) pin

lab: ## servers to try things on until Ctrl-C; PG="15 17" chooses
	@$(gates) with python -m tests.lab up $(PG)

lab-images: ## images of Debian with systemd for containers; instant where they are there
	@$(gates) with python -m tests.containers.images

clean: ## remove caches, environments and servers' programs
	rm -rf .cache
