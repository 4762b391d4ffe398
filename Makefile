# make help lists the targets.

GO ?= go
GOLANGCI_VERSION := 2.15.0
FUZZTIME ?= 30s
BENCH ?= .

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Where git tells nothing (another user's checkout, no checkout at all), Go must not insist. Else the binary knows its
# commit, whatever $GOFLAGS says.
BUILDVCS := true
ifeq ($(VERSION),unknown)
export GOFLAGS += -buildvcs=false
BUILDVCS := false
endif
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice/tools
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
# The generators that tools/go.mod pins.
GENERATORS := $(TOOLS)/generators-$(shell cat tools/go.mod tools/go.sum | cksum | cut -d' ' -f1)
SQLC := $(GENERATORS)/sqlc
OAPI_CODEGEN := $(GENERATORS)/oapi-codegen
# The packages of the shop that have operations in docs/api/catalog.yaml.
SHOP := account assess cart offer product seller price stock

# Tests run with the race detector, but for those of two packages; make test-race has them too.
# - bench/apptest starts the program as it is built, which the detector does not see, and holds it to its times.
# - cli makes the whole command line anew for thousands of cases, which takes six times the CPU with the detector. What
#   runs beside other things is in cli/command, cli/dev and the services, and is tested with it there.
PLAIN_PACKAGES = sluice/bench/apptest sluice/cli
RACE_PACKAGES = $(filter-out $(PLAIN_PACKAGES),$(shell $(GO) list ./...))
# Whose tests start a Redis: by themselves, or with a stack or a store.
REDIS_PACKAGES = $(shell grep -rlE --include='*_test.go' 'servicetest\.(Redis|Sentinels)|local\.(Start|Find)Redis|stack\.New|storetest\.Start' . | \
	xargs -n1 dirname | sort -u)
# Two packages at a time: each may run a Redis, a MariaDB and a Kafka. Passes are not cached: servers, and
# the binary that the whole-system tests build, are nothing that the cache knows of.
GOTEST = $(GO) test -count=1 -p 2 -timeout 30m

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/sluice
	$(GO) build -trimpath -buildvcs=$(BUILDVCS) -ldflags '-X sluice/core/build.version=$(VERSION)' -o bin/sluice .

.PHONY: run dev
run: build ## start everything on this machine, with sample data; Ctrl-C stops it
	bin/sluice dev
dev: run

.PHONY: deps
deps: ## install redis-server and mariadbd if they are missing
	sh cli/dev/deps.sh redis mariadb

.PHONY: test
test: ## run all tests, with the race detector but for those of PLAIN_PACKAGES
	@status=0; \
	export SLUICE_SKIPPED=$$(mktemp); \
	$(GOTEST) -race $(RACE_PACKAGES) || status=1; \
	$(GOTEST) $(PLAIN_PACKAGES) || status=1; \
	sort -u $$SLUICE_SKIPPED; rm -f $$SLUICE_SKIPPED; \
	exit $$status

.PHONY: walkthrough
walkthrough: ## run docs/walkthrough.md as it stands, also while servers are killed; make test does it too
	$(GOTEST) -v ./bench/walkthrough

.PHONY: test-valkey
test-valkey: ## run the tests that talk to Redis on Valkey 8.1 and 9.1
	@status=0; for server in valkey-8.1 valkey-9.1; do \
		echo "on $$server"; SLUICE_REDIS_SERVER=$$server $(GOTEST) $(REDIS_PACKAGES) || status=1; \
	done; exit $$status

.PHONY: test-race
test-race: ## run all tests with the race detector
	$(GOTEST) -race ./...

.PHONY: check
check: lint lint-lua lint-k6 tidy generated ## check format, vet, linters, scripts, go.mod and generated code

.PHONY: fmt
fmt: $(GOLANGCI) ## format the Go code
	$(GOLANGCI) fmt

.PHONY: lint
lint: $(GOLANGCI) ## check format and run the linters over the Go code
	$(GO) vet ./...
	$(GOLANGCI) run

# One of the pinned version is taken from PATH, else built once per user.
$(GOLANGCI):
	@mkdir -p $(@D)
	@if golangci-lint version 2>/dev/null | grep -q 'version $(GOLANGCI_VERSION) '; then \
		ln -sf "$$(command -v golangci-lint)" $@; \
	else \
		echo 'building golangci-lint $(GOLANGCI_VERSION), once'; \
		GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION); \
	fi

.PHONY: lint-lua
lint-lua: ## check the scripts, where luacheck is installed
	@if command -v luacheck >/dev/null; then cd lua && luacheck .; else echo 'luacheck not found: scripts not checked'; fi

.PHONY: lint-k6
lint-k6: ## check the types of the k6 scripts, where npm is installed
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory k6/node_modules && k6/node_modules/.bin/tsc -p k6; \
	else echo 'npm not found: types of the k6 scripts not checked'; fi

k6/node_modules: k6/package.json k6/package-lock.json
	cd k6 && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: tidy
tidy: ## check that go.mod lists what the code imports
	$(GO) mod tidy -diff

# The server of a package of the shop, from the API document.
SERVER = $(OAPI_CODEGEN) -config tools/oapi-codegen.yaml -templates tools/templates -include-tags $(1) docs/api/catalog.yaml

.PHONY: generate
generate: $(GENERATORS) ## write generated code anew
	$(SQLC) generate -f tools/sqlc.yaml
	$(foreach package,$(SHOP),mkdir -p catalog/$(package)/internal/api && $(call SERVER,$(package)) >catalog/$(package)/internal/api/api.gen.go &&) true

.PHONY: generated
generated: $(GENERATORS) ## check that generated code is what the generators make
	$(SQLC) diff -f tools/sqlc.yaml
	@$(foreach package,$(SHOP),$(call SERVER,$(package)) | diff -u catalog/$(package)/internal/api/api.gen.go - &&) true \
		|| { echo 'generated code is stale: run make generate'; exit 1; }

# Without cgo, so that no C compiler is needed: sqlc has a parser of PostgreSQL in C, and another one.
$(GENERATORS):
	@echo 'building the generators, once'
	@rm -rf $@.new && cd tools && GOBIN=$@.new CGO_ENABLED=0 $(GO) install tool && mv $@.new $@

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -c6-); do \
			$(GO) test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) $$package; \
		done; \
	done

FUZZ_API ?= -examples 500
.PHONY: fuzz-api
fuzz-api: ## hold a running sluice to the API document in all roles; FUZZ_API has the size and the seed
	$(GO) run ./bench/fuzzapi $(FUZZ_API)

# Settings of a scenario go into K6_ARGS: make k6 SCENARIO=bots K6_ARGS='-e BOTS=50 -e DURATION=1m'
SCENARIO ?= flash_sale
K6_ARGS ?=
.PHONY: k6
k6: ## run a scenario of k6/ by the k6 in PATH beside a running sluice dev, and compare the stock
	@test -f 'k6/$(SCENARIO).ts' || { echo 'SCENARIO=$(SCENARIO): want one of' $(sort $(basename $(notdir $(wildcard k6/*.ts)))); exit 2; }
	@command -v k6 >/dev/null || { echo 'k6 is not in PATH. It is a program of its own, under the AGPL:'; \
		echo 'https://grafana.com/docs/k6/latest/set-up/install-k6/ says where to get it. make k6-smoke needs none.'; exit 1; }
	@$(MAKE) --no-print-directory build
	@mkdir -p bin/k6
	status=0; k6 run --no-usage-report -e DEV_FILE='$(CURDIR)/.sluice/dev.json' -e OUT='$(CURDIR)/bin/k6' $(K6_ARGS) 'k6/$(SCENARIO).ts' || status=$$?; \
		stock=0; bin/sluice reconcile || stock=$$?; [ $$status -ne 0 ] || status=$$stock; exit $$status

.PHONY: k6-smoke
k6-smoke: ## run every scenario of k6/ for seconds by a stand-in for k6, on a stack of its own
	$(GO) run ./bench/k6smoke

COMPARE ?=
.PHONY: bench
bench: build ## compare ways to sell on this machine, and write bin/compare.html; COMPARE has flags
	bin/sluice bench compare --html bin/compare.html $(COMPARE)

.PHONY: bench-go
bench-go: ## run the Go benchmarks that match BENCH
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -p 1 -timeout 60m ./...

PERFORMANCE ?=
.PHONY: performance
performance: ## measure what docs/performance.md says, and write it; PERFORMANCE has flags: --only, --quick, --render
	$(GO) run ./bench/performance $(PERFORMANCE)

.PHONY: cover
cover: ## write coverage.html
	$(GOTEST) -coverprofile=bin/cover.out -coverpkg=./... ./...
	$(GO) tool cover -html=bin/cover.out -o bin/coverage.html

.PHONY: clean
clean: ## remove what was built; data of sluice dev stays in .sluice
	rm -rf bin
