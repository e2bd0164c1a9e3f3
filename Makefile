# What one does with the project, one word each. `make` alone lists them.

CLIENTS := target/clients
PEERS := target/peers
# The tests wait more than they compute: more of them at a time than there are cores.
TEST_THREADS ?= 4
CRASH_ROUNDS ?= 200
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help run build test clients peers bench crash fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## build the broker and run it, with its data in ./data
	cargo build --release
	./target/release/gantry --data-dir ./data

build:
	cargo build --release

test: clients build ## all tests: of the crates, and end to end with stock clients of five languages
	cargo test --workspace --no-fail-fast -- --test-threads=$(TEST_THREADS)

bench: build ## the table of ratios against the peers that are installed
	cargo run --release -p gantry-benches

crash: build ## kill -9 under load, again and again (CRASH_ROUNDS=200)
	GANTRY_CRASH_ROUNDS=$(CRASH_ROUNDS) cargo test -p gantry-tests --test crash --test crash_rules --test crash_mqtt --test crash_stomp --test crash_sqs --test crash_sns -- --nocapture

fuzz: ## every fuzz target for FUZZ_SECONDS=60
	@for script in storage/fuzz/run.sh broker/fuzz/run.sh protocols/*/fuzz/run.sh; do \
		[ -e "$$script" ] || continue; echo "$$script $(FUZZ_SECONDS)"; "$$script" $(FUZZ_SECONDS) || exit 1; \
	done

# --- what the end-to-end tests need, each installed once and again only when its list changes ---

clients: $(CLIENTS)/python.done $(CLIENTS)/python_query.done $(CLIENTS)/node.done $(CLIENTS)/java.done $(CLIENTS)/spring.done $(CLIENTS)/perftest.done $(CLIENTS)/go/clients

$(CLIENTS)/python.done: tests/clients/python/requirements.txt
	rm -rf $(CLIENTS)/python
	python3 -m venv $(CLIENTS)/python
	$(CLIENTS)/python/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(CLIENTS)/python_query.done: tests/clients/python/requirements_query.txt
	rm -rf $(CLIENTS)/python_query
	python3 -m venv $(CLIENTS)/python_query
	$(CLIENTS)/python_query/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(CLIENTS)/node.done: tests/clients/node/package.json
	rm -rf $(CLIENTS)/node
	mkdir -p $(CLIENTS)/node
	cp $< $(CLIENTS)/node/
	cd $(CLIENTS)/node && npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

$(CLIENTS)/java.done: tests/clients/java/pom.xml $(wildcard tests/clients/java/src/*.java)
	rm -rf $(CLIENTS)/java
	mvn --quiet --batch-mode --file $< compile dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(CLIENTS)/java/lib
	touch $@

$(CLIENTS)/spring.done: tests/clients/spring/pom.xml tests/clients/java/src/Suite.java $(wildcard tests/clients/spring/src/*.java tests/clients/spring/src/*/*.java)
	rm -rf $(CLIENTS)/spring
	mvn --quiet --batch-mode --file $< compile dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(CLIENTS)/spring/lib
	touch $@

$(CLIENTS)/perftest.done: tests/clients/perftest/pom.xml
	rm -rf $(CLIENTS)/perftest
	mvn --quiet --batch-mode --file $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(CLIENTS)/perftest
	touch $@

$(CLIENTS)/go/clients: tests/clients/go/build.sh tests/clients/go/go.mod $(wildcard tests/clients/go/*.go)
	mkdir -p $(CLIENTS)/go
	tests/clients/go/build.sh $(CURDIR)/$@

# --- what the table of ratios compares with, where no package of the distribution has it ---

peers: $(PEERS)/elasticmq.done $(PEERS)/moto.done ## fetch ElasticMQ and moto, to be measured beside

$(PEERS)/elasticmq.done: benches/peers/elasticmq/pom.xml
	rm -rf $(PEERS)/elasticmq
	mvn --quiet --batch-mode --file $< dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(PEERS)/elasticmq
	touch $@

$(PEERS)/moto.done: benches/peers/moto.txt
	rm -rf $(PEERS)/moto
	python3 -m venv $(PEERS)/moto
	$(PEERS)/moto/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
