# make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

RELEASE  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE    ?= cacheproxy:$(RELEASE)
FUZZTIME ?= 10s
BENCH    ?= .
TIMEOUT  ?= 20m
SOAK     ?= 5m
DURATION ?= 1m
SEED     ?= 0
SEEDS    ?= 100
comma    := ,

# The program is one module, and its dependencies are what runs in the binary. What only tests need is a module of its own:
# test/system runs the built program, test/deploy reads what is shipped around it. The tools of the program's module
# (go tool) are in its go.mod too and reach no binary, since no package imports them.
MODULES := . test/system test/deploy

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' Makefile | expand -t 16

.PHONY: build
build: ## build bin/cacheproxy, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.release=$(RELEASE)' -o bin/cacheproxy ./cmd/cacheproxy

# make test is what a developer waits for, and with CI=true what a change has to pass where nobody waits.
# - With CI=true everything is compiled with the race detector and checks of the order of locks (docs/architecture.md) wherever the code under test is
#   in the process of the test, and no result is taken from Go's cache.
# - Without, tests that neither build nor run the program run anew where something that they depend on has changed since they passed, which Go knows, and
#   of the others those are left out, or do less, that take long and that few changes concern (-short).
# make test-slow shows where the time goes.
#
# The tests are three groups, two of which run side by side, since what starts servers waits while what compares models works, and then the fleet,
# whose measurements want the machine for themselves (where a developer waits, those of its tests that wait for leases run side by side). Only the
# first has the race detector: the others run the built program, into whose process the detector does not see, and look at the source. test/norace
# runs what the detector would falsify.
# Tests that say they are parallel wait for servers, and so more of them run than there are cores.
# With -count 1 where the program is built and run, of which Go's cache of results does not know; without vet, which check runs.
GOTEST  := go test $(JSON) -vet off -timeout $(TIMEOUT) -parallel 3
ANEW    := $(GOTEST) -count 1
SOURCE  := house|conformance|rename
BUILDS  := $(SOURCE)|mutants|docs
PROCESS := e2e|fleet|attack|transparency|behind|inventory|leaderboard|load
CI      ?=

ifeq ($(CI),)
INSIDE  := $(GOTEST)
SYSTEM  := $(GOTEST)
PROGRAM := $(ANEW) -short
ATTACK  := 5s
else
INSIDE  := $(ANEW) -race -tags lockorder
SYSTEM  := $(ANEW) -race
PROGRAM := $(ANEW)
ATTACK  := 20s
endif

.PHONY: test
test: deps check test-all ## all tests; with CI=true everything a change has to pass

.PHONY: test-all
test-all:
	@$(MAKE) --no-print-directory -j 2 -k test-inside test-program test-source
	cd test/system && $(PROGRAM) ./fleet
	cd test/system && $(ANEW) ./attack -args -for $(ATTACK) -seed 1

.PHONY: test-inside
test-inside:
	$(INSIDE) $$(go list ./... | grep -vE '/test/($(BUILDS))$$')
	cd test/system && $(SYSTEM) $$(go list ./... | grep -vE '/($(PROCESS))$$')
ifneq ($(CI),)
	test/norace $(JSON) -vet off -timeout $(TIMEOUT) -count 1
endif

.PHONY: test-program
test-program:
	cd test/system && $(PROGRAM) ./e2e ./transparency ./behind ./inventory ./leaderboard ./leaderboard/load

.PHONY: test-source
test-source:
	$(PROGRAM) $$(go list ./... | grep -E '/test/($(SOURCE)|docs)$$')
	$(PROGRAM) ./test/mutants
	cd test/deploy && $(PROGRAM) ./...

.PHONY: test-slow
test-slow: deps ## run all tests as CI does, and say which packages take long, whether they work or wait, and which tests it is
	@mkdir -p bin
	@$(MAKE) --no-print-directory -k test-all CI=$(or $(CI),true) JSON='-json -exec $(CURDIR)/test/cputime' >bin/test.json || true
	@go run ./test/slow <bin/test.json

.PHONY: deps
deps: ## install what the tests need beside Go
	@test/install

.PHONY: check
check: ## formatting, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
	  echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	@set -euo pipefail; staticcheck=$$(go tool -n staticcheck); \
	for module in $(MODULES); do ( \
	  echo "$$module: go vet, staticcheck"; cd "$$module"; \
	  go vet ./...; "$$staticcheck" ./... ); \
	done

.PHONY: tidy
tidy: ## bring go.mod and go.sum of every module up to date
	set -e; for module in $(MODULES); do go mod tidy -C "$$module"; done

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@set -euo pipefail; \
	targets=$$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort -u); \
	while IFS=: read -r file target; do \
	  [ -n "$$file" ] || continue; \
	  echo "$$(dirname "$$file") $${target#func }"; \
	  go test -C "$$(dirname "$$file")" -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) .; \
	done <<<"$$targets"

# Six ways of running a fleet take SOAK each, on each of two servers; the simulation takes about 20 s for each seed.
.PHONY: soak
soak: deps ## look for stale reads: SEEDS (100) simulations, a fleet of processes for SOAK (5m) in each way, and with rules switched off
	go test -count 1 -v -timeout 0 ./invalidation/fleet -run '^TestSimulation$$' -args -sim-seeds $(SEEDS) -sim-time 60s
	set -e; for server in valkey-server redis-server; do \
	  go test -C test/system -count 1 -v -timeout 0 ./fleet -run '^TestNothingStale' -args -server $$server -for $(SOAK) -idle 1ms -readers 32; \
	done
	go test -count 1 -v -timeout 0 ./test/mutants -run '^TestBrokenRulesAreSeenOnAFleet$$' -args -fleet $(SOAK)
	go test -count 1 -v -timeout 0 ./test/mutants -run '^TestBrokenRulesAreFoundByAttack$$' -args -attack 30s

# Clients and an API that say and do what HTTP allows, and some of what it does not. SEED=0 draws one, and prints it.
.PHONY: behind
behind: deps ## make queued writes through three instances that fail, for DURATION (1m)
	go test -C test/system -count 1 -v -timeout 0 ./behind -args -for $(DURATION) -rate 1000 -clients 1000 -outage 1m

# PostgreSQL, Valkey and three instances, which fail meanwhile; 100,000 requests take five minutes, with the fence and without.
.PHONY: inventory
inventory: deps ## read and write the sample shop's stock through three instances that fail, and look whether it is a register
	go test -C test/system -count 1 -v -timeout 0 ./inventory -args -operations 100000

.PHONY: leaderboard
leaderboard: deps ## see boards through instances and servers that die, and one that moves from an API to the proxy
	go test -C test/system -count 1 -v ./leaderboard

.PHONY: leaderboard-failover
leaderboard-failover: deps ## have replicas that lag take over from the server of boards, five times, and see what is lost under each durability
	go test -C test/system -count 1 -v -timeout 20m -run TestFailover ./leaderboard/load -args -failovers 5 -before 10s

.PHONY: leaderboard-load
leaderboard-load: deps ## submit 500 scores a second and read the top 100 times a second through two instances, for ten minutes, and PostgreSQL alone for one
	go test -C test/system -count 1 -v -timeout 0 ./leaderboard/load -args -for 10m -window 2m -bucket 5s -alone 1m

.PHONY: attack
attack: deps ## attack one proxy, and three on a Valkey, for DURATION (1m), with what SEED decides
	go test -C test/system -count 1 -v -timeout 0 ./attack -args -for $(DURATION) -seed $(SEED)

.PHONY: transparency
transparency: ## say the same to an API directly and through the proxy, and compare what both ends get
	go test -C test/system -count 1 -v -parallel 4 ./transparency

.PHONY: conformance
conformance: ## hold the proxy against http-cache-tests, as it was last written down
	go test -count 1 -v ./test/conformance -require

.PHONY: conformance-update
conformance-update: ## write down what http-cache-tests says now
	go test -count 1 -v ./test/conformance -require -update

# BASELINE is another cacheproxy binary to be measured beside this one, FLAGS are more flags of test/system/bench/peers, as in
# make bench FLAGS='--loads hit,miss'. It takes half an hour to an hour, more the busier the machine; all figures are in bin/bench.json too, the plot in bin/bench.svg.
.PHONY: bench
bench: ## measure the proxy beside the caches that are installed, and beside BASELINE
	@mkdir -p bin
	go run -C test/system ./bench/peers --json $(CURDIR)/bin/bench.json --svg $(CURDIR)/bin/bench.svg $(if $(BASELINE),--baseline $(abspath $(BASELINE))) $(FLAGS)

# Each server is filled for two and a half minutes at most, so that this takes up to six with Varnish, and eight where others want the cores too. It
# wants 5 GiB.
.PHONY: bench-memory
bench-memory: ## measure memory for a million objects, and while copies come and go, beside Varnish and BASELINE
	@mkdir -p bin
	go run -C test/system ./bench/peers --json $(CURDIR)/bin/bench-memory.json --loads memory,churn --peers cacheproxy,Varnish$(if $(BASELINE),$(comma)baseline --baseline $(abspath $(BASELINE))) $(FLAGS)

.PHONY: bench-peers
bench-peers: ## install what make bench measures beside the proxy, and wrk
	@test/install bench

.PHONY: bench-go
bench-go: ## run the Go benchmarks that match BENCH
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-shop
bench-shop: deps ## load the sample shop on PostgreSQL, with and without the proxy
	go run -C test/system ./bench/shop

.PHONY: bench-overload
bench-overload: ## offer an origin behind the proxy ten times what it can do
	go run -C test/system ./bench/overload

.PHONY: bench-outage
bench-outage: deps ## take Valkey away from proxies under load, and give it back
	go run -C test/system ./bench/outage

.PHONY: bench-writes
bench-writes: deps ## measure what a write through one of three proxies costs, and has their Valkey do
	go run -C test/system ./bench/writes $(FLAGS)

.PHONY: bench-churn
bench-churn: deps ## measure what is resident while copies come and go, beside the bound of the documents
	go run -C test/system ./bench/churn $(FLAGS)

.PHONY: bench-purges
bench-purges: deps ## measure purges beside a million copies of ten names, and beside as many purges as there is room for
	go run -C test/system ./bench/purges $(FLAGS)

.PHONY: rename
rename: ## give the module another path, MODULE=example.org/x/cacheproxy, everywhere: the one that go install is to find it by
	@go run ./test/rename '$(MODULE)'

.PHONY: demo
demo: ## run a sample shop behind the proxy
	go run ./cmd/cacheproxy demo

.PHONY: image
image: ## build the container image IMAGE
	docker build --build-arg RELEASE=$(RELEASE) -t $(IMAGE) .

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
