# Few targets, each honest: what it says is what it does.
# The tools are pinned in tools/go.mod and built on first use.

TOOL  = go tool -modfile=tools/go.mod
# The pure core: what a laptop without Linux can run. internal/archtest keeps
# the machine out of it, and cross proves it by building. That everything, tests too,
# compiles where an int has 32 bits, as on small routers, cross shows as well.
PURE  = . ./fib/... ./analysis/... ./plan/... ./policy/... ./format/...
FUZZTIME ?= 10s
# Of twin: how many commands of each object, from which seed; rule or route for
# one object alone; another ip than the one of this machine.
N    ?= 6000
SEED ?= 1
TWIN ?=
IP   ?=
# Of differential: how many worlds at a time, and the folder of the report.
WORKERS ?=
REPORT  ?= docs
# Of bench: which rows, how many turns each, and by what to divide their sizes.
ROWS   ?=
ROUNDS ?=
SCALE  ?=

.PHONY: all build check format vet lint arch cross test test-root race twin differential stateful mutants faults bench gobench fuzz generate golden fmt

all: check test

## build: rpdb, and the lean ip, in bin: one file each, that needs no C library and starts faster without
build:
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

## check: format, vet, lint, architecture, the core and its tests for other systems, and all for words of 32 bits; changes nothing
check: format vet lint arch cross

format:
	@files=$$($(TOOL) gofumpt -l .); test -z "$$files" || { echo "not formatted, run make fmt:"; echo "$$files"; exit 1; }

vet:
	go vet ./...

lint:
	$(TOOL) staticcheck ./...

arch:
	go test ./internal/archtest

cross:
	GOOS=darwin  go build $(PURE) && GOOS=darwin  go vet $(PURE)
	GOOS=windows go build $(PURE) && GOOS=windows go vet $(PURE)
	GOARCH=386 CGO_ENABLED=0 go vet ./...

## fmt: rewrite the sources as check wants them
fmt:
	$(TOOL) gofumpt -w .

## test: everything, as whoever you are; no privilege needed
test:
	go test ./...

## test-root: the same as root, each test in namespaces of its own
test-root:
	go test -count=1 $(if $(filter-out 0,$(shell id -u)),-exec sudo) ./...

## race: everything under the race detector
race:
	go test -race -timeout 30m ./...

## twin: N commands of TWIN through the system's ip, or IP, and ours, compared byte for byte
twin:
	RPDB_TWIN_IP=$(IP) RPDB_TWIN_N=$(N) RPDB_TWIN_SEED=$(SEED) RPDB_NO_SKIP=1 go test ./cli/ipcmd -run 'TestTwin$$/^$(TWIN)' -count=1 -timeout 0 -v

## differential: N decisions of each family, the engine's against the kernel's, written down in REPORT; 2 million without N, new seeds without SEED
differential:
	cd internal/differential && RPDB_NO_SKIP=1 go test -run 'TestAgainstKernel$$' -count=1 -timeout 0 -args -lookups $(if $(filter file,$(origin N)),2000000,$(N)) -seed $(if $(filter file,$(origin SEED)),0,$(SEED)) -report $(abspath $(REPORT)) $(if $(WORKERS),-workers $(WORKERS))

## stateful: N changes of namespaces, what a follower makes of their events against the kernel; 20000 without N
stateful:
	cd internal/differential && RPDB_NO_SKIP=1 go test -run 'TestFollower$$' -count=1 -timeout 0 -v -args -steps $(if $(filter file,$(origin N)),20000,$(N)) -seed $(SEED)

## mutants: plant faults in copies of the engine and the follower; the comparisons must find each
mutants:
	go test ./internal/differential -run 'Test(Follower)?Mutants$$' -count=1 -timeout 0 -v -args -mutants .

## faults: stop and fail apply, confirm, rollback and remove at every call
faults:
	go test ./apply -run 'TestEveryCallStopsOrFails$$|TestRecoveryIsStopped$$' -count=1 -timeout 0 -v -args -faults
	go test ./cli -run 'TestKilledAnywhere$$' -count=1 -timeout 0 -v -args -kills 500
	go test ./internal/faults -run 'TestKilledAtEverySystemCall$$|TestEverySystemCallFails$$|TestEachReceiveFails$$|TestTornLists$$|TestMutatedRequests$$|TestOtherProgramAllTheTime$$' -count=1 -timeout 0 -v -args -faults

## bench: ours against the peers, as root, in namespaces of its own, written down in docs/benchmarks.md; ROWS for some, in SCALE times smaller, with ROUNDS
bench:
	cd bench && go run . $(if $(ROWS),-rows '$(ROWS)') $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(SCALE),-scale $(SCALE))

## gobench: the Go benchmarks; with OLD=REVISION, those of that revision against this tree
gobench:
	tools/bench $(OLD)

## fuzz: every fuzz target for FUZZTIME
fuzz:
	tools/fuzz $(FUZZTIME)

## generate: rewrite what go generate makes
generate:
	go generate ./...

## golden: rewrite the expected outputs of the tests
golden:
	tools/golden
	@git --no-pager diff --stat -- '*testdata*'
	@echo "read the diff: every changed line is a promise changed"
