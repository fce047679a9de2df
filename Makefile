# The only way in, for people and for CI alike.

BIN    := bin
GO     ?= go
PKGS   := ./...
STATICCHECK := $(GO) tool -modfile=tools/go.mod staticcheck

.PHONY: all build up down test race e2e failover chaos chaos-broken bench lint fuzz proxies clean

all: build

build: ## the three programs, into bin/
	@$(GO) build -o $(BIN)/ ./cmd/...

up: build ## three nodes and the balancer, in the foreground
	@$(BIN)/dengine-up

down: build ## ends what `make up` started in another terminal
	@$(BIN)/dengine-up down

test: build ## every test; fetches what the proxies' tests need first
	@.ci/proxies
	$(GO) test -count=1 -timeout 20m $(PKGS)

race: build ## every test, with the race detector
	@.ci/proxies
	$(GO) test -count=1 -race -timeout 30m $(PKGS)

e2e: build ## only the tests that run the real programs
	$(GO) test -count=1 -v -timeout 20m ./internal/e2e

# KILLS=5 attempts for each fault, FAULT=kill-leader,rolling and FRONT=dengine,caddy choose.
failover: ## what clients see when something breaks: a table, and bench/results/failover.json (30 minutes)
	@$(GO) build -o $(BIN)/ ./bench/failover
	@$(BIN)/failover $(if $(KILLS),--kills $(KILLS)) $(if $(FAULT),--fault $(FAULT)) $(if $(FRONT),--front $(FRONT))

# ROUNDS=200 SECONDS=60 SEED=1 FAULTS=kill,pause+slow LEVEL=linearizable|lease|eventual STALENESS=500ms NODES=3|5 STORE=bolt|wal
# JOBS=2 SUMMARY=docs/chaos.md RESUME=1 choose; bin/chaos --help lists the faults.
chaos: ## faults under load, and the histories judged by porcupine: a table (25 minutes)
	@$(GO) build -o $(BIN)/ ./bench/chaos
	@$(BIN)/chaos --results bench/results/chaos.jsonl $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(LEVEL),--level $(LEVEL)) $(if $(STALENESS),--staleness $(STALENESS)) \
		$(if $(NODES),--nodes $(NODES)) $(if $(STORE),--store $(STORE)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(SUMMARY),--summary $(SUMMARY)) $(if $(RESUME),--resume)

chaos-broken: ## nodes that are broken on purpose: each workload must catch each of them alone (4 minutes)
	DENGINE_CHAOS_BROKEN=1 $(GO) test -count=1 -v -timeout 30m -run TestEveryWorkloadCatchesBrokenNodes ./internal/chaos

# SECONDS=1 for each measurement, RUNS=2 rounds, and ONLY=reads, ONLY=writes, ONLY=proxy, ONLY=scale or ONLY=levels,get-16 choose;
# KEYS=1000,1000000 is how many keys ONLY=scale has.
# REDRAW=1 measures nothing, and writes bench/README.md anew from the results that are there.
bench: ## reads and writes beside etcd's, and the balancer beside other proxies, and many keys: ratios, tables, bench/README.md and bench/results (50 minutes)
	$(if $(REDRAW),,@$(GO) -C bench/compare vet ./... && $(GO) -C bench/compare test -timeout 5m ./...)
	@$(GO) -C bench/compare build -o ../../$(BIN)/ .
	@$(BIN)/compare $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only $(ONLY)) $(if $(KEYS),--keys $(KEYS)) $(if $(REDRAW),--redraw)

lint: ## gofmt, go vet, staticcheck with the checks of staticcheck.conf; bench/compare, a module of its own, is vetted too
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "run gofmt on: $$unformatted"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) -C bench/compare vet ./...
	$(STATICCHECK) $(PKGS)

# FUZZTIME=10m for each target, and FUZZ=Cursor, a part of their names, choose.
FUZZTIME ?= 10s
fuzz: ## every fuzz target that there is for FUZZTIME
	@GO=$(GO) .ci/fuzz $(FUZZTIME) $(if $(FUZZ),'$(FUZZ)')

clean:
	rm -rf $(BIN)
