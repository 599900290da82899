# Every task a developer or CI needs. `make run` and `make test` are the two README commands: each
# installs or checks what it needs first.
SHELL := /bin/bash
CARGO ?= cargo
NPM ?= npm
TARGET := $(or $(CARGO_TARGET_DIR),target)
UI_SOURCES := $(shell find ui/src ui/index.html ui/vite.config.ts ui/package-lock.json -type f 2>/dev/null)

.PHONY: run test unit blackbox pages lint fmt bench bench-logs build ui deps clean-data

## run: build everything and watch this machine; pages on http://localhost:3000
run: build
	$(TARGET)/release/novaobs demo --data=data

## build: the release binary with the pages embedded
build: ui
	$(CARGO) build --release --locked --package novaobs-server --bin novaobs

## ui: the pages, rebuilt when their sources changed
ui: ui/dist/index.html
ui/dist/index.html: $(UI_SOURCES)
	cd ui && $(NPM) ci --no-audit --no-fund && $(NPM) run build

## deps: Debian packages the tests run beside us (peers, databases, a browser)
deps:
	./xtask/install-test-peers
	./xtask/install-log-clients

## test: all tests; installs what they need
test: deps lint unit blackbox pages

## unit: everything that needs no peer: unit, property and conformance tests, docs, and the house rules
unit: ui
	$(CARGO) test --workspace --locked

## blackbox: the real binary against real exporters, clients and peers
blackbox: ui
	$(CARGO) test --locked --package novaobs-server --features blackbox --test '*' -- --test-threads=2

## pages: the pages' own unit tests; Chromium runs against the real binary in blackbox
pages: ui
	cd ui && $(NPM) test

## lint: formatting, clippy, licences and advisories
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	./xtask/check-licences

## fmt: format the sources
fmt:
	$(CARGO) fmt --all

## bench: ingest, storage, memory, restart and queries beside Debian's prometheus and victoria-metrics
bench: deps
	./bench/run metrics

## bench-logs: logs beside Loki and VictoriaLogs where BENCH_PEER_LOKI and BENCH_PEER_VICTORIALOGS name their binaries
bench-logs:
	./bench/run logs
