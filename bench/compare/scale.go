package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// scaleSizes are how many keys there are, unless the command line says so. 10
// million want 2 GiB of memory and some minutes to be written.
const scaleSizes = "1000,1000000"

// fewNodes is from how many keys on there is one node, with small values: three
// would want the memory of three machines.
const fewNodes = 5_000_000

// Settings of nodes that never take a snapshot, and, on top of these, of nodes that take
// one every few seconds. Neither what else the machine does nor a second that the disk
// takes for one append moves a leader: it is in the figures.
var (
	noSnapshots   = slices.Concat(patient, []string{"--disk-timeout", "30s", "--snapshot-threshold", "1000000000"})
	manySnapshots = []string{"--snapshot-threshold", "64", "--snapshot-interval", "3s"}
)

func scalePart(sizes []int) part {
	return part{
		name: "scale", seconds: 5, groups: scaleGroups(sizes),
		promises: func() []benchmark.Promise { return scalePromises(sizes) },
		look:     func() (map[string]string, []string) { return nil, nil },
		tables:   benchmark.Result.Tables,
	}
}

// scaleGroups are all measurements of many keys, of many nodes and of large values.
func scaleGroups(sizes []int) []group {
	var out []group
	for _, n := range sizes {
		out = append(out, group{"keys", func(b *bench, t harness.T) { measureKeys(b, t, n) }})
	}
	return append(out, group{"members", measureMembers}, group{"values", measureValues})
}

// parseSizes reads numbers of keys with commas between them.
func parseSizes(list string) (out []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 100_000_000 {
			return nil, fmt.Errorf("--keys %q: want numbers from 1 to 100000000, with commas", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func scaleKeyOf(what string, n int) benchmark.Key {
	return benchmark.Key{System: "dengine", What: fmt.Sprintf("%s, %d keys", what, n)}
}

// What is measured of so many keys.
const (
	memoryWritten   = "memory beside key and value, after they were written"
	memoryRestored  = "memory beside key and value, restored"
	stallAlone      = "writes at a steady rate"
	stallBeside     = "writes at a steady rate, snapshots beside"
	snapshotTook    = "a snapshot, writes beside"
	restartLog      = "restart from the log to ready"
	restartSnapshot = "restart from a snapshot to ready"
)

func measureKeys(b *bench, t harness.T, n int) {
	s := startScale(t, n)
	base := s.heap(s.leader)
	s.fill()
	b.recordMemory(t, s, memoryWritten, s.leader, base)
	b.record(t, scaleKeyOf(stallAlone, n), s.paced(func() bool { return false }, 2*b.window.Length))
	victim := s.victim()
	b.record(t, scaleKeyOf(restartLog, n), s.restart(victim))
	for _, p := range s.Nodes {
		p.Kill()
	}
	for _, p := range s.Nodes {
		p.StartWith(manySnapshots...)
	}
	s.WaitReady()
	s.look()
	b.record(t, scaleKeyOf(stallBeside, n), s.paced(s.snapshots(2), harness.Patience))
	b.record(t, scaleKeyOf(snapshotTook, n), s.snapshotTook())
	victim = s.victim()
	s.awaitSnapshot(victim)
	b.record(t, scaleKeyOf(restartSnapshot, n), s.restart(victim))
	b.recordMemory(t, s, memoryRestored, victim, base)
	for _, p := range s.Nodes { // the next cluster is measured alone
		p.Kill()
	}
}

func (b *bench) recordMemory(t harness.T, s *scaled, what string, p *harness.Process, base float64) {
	beside := (s.heap(p)-base)/float64(s.keys) - float64(len(s.key(0))+len(s.value))
	b.record(t, scaleKeyOf(what, s.keys), benchmark.Sample{KeyBytes: beside})
}

// scaled is a cluster with many keys.
type scaled struct {
	*dengine
	t     harness.T
	keys  int
	value string
}

func startScale(t harness.T, n int) *scaled {
	t.Helper()
	s := &scaled{t: t, keys: n, value: value}
	nodes := 3
	if n >= fewNodes {
		nodes, s.value = 1, value[:16]
	}
	s.dengine = &dengine{Cluster: harness.Start(t, harness.Options{NoLB: true, Nodes: nodes, NodeArgs: noSnapshots})}
	s.look()
	return s
}

// look finds out who leads; there may be nobody else.
func (s *scaled) look() { s.leader = s.Leader() }

// victim is the node that is killed: no leader, where there is another.
func (s *scaled) victim() *harness.Process {
	if f := s.Followers(); len(f) > 0 {
		return f[0]
	}
	return s.leader
}

func (s *scaled) key(i int) string { return fmt.Sprintf("key%08d", i) }

// scattered is a key of all of them, each once for i from 0 on.
func (s *scaled) scattered(i int) string {
	const prime = 2654435761
	return s.key(int(uint64(i) * prime % uint64(s.keys)))
}

// restart kills a node, starts it again, and waits until it says that it is ready.
func (s *scaled) restart(p *harness.Process) benchmark.Sample {
	s.t.Helper()
	p.Kill()
	began := time.Now()
	p.Start()
	url := "http://" + p.Health + healthcheck.PathReady
	for {
		a, err := s.Try(http.MethodGet, url, "")
		if err == nil && a.Status == http.StatusOK {
			return benchmark.NewSample([]time.Duration{time.Since(began)})
		}
		if time.Since(began) > 5*harness.Patience {
			s.t.Fatalf("%s is not ready after %v: %+v, %v", p.Name, time.Since(began), a, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// scalePromises are those of the issue; the other figures are for people.
func scalePromises(sizes []int) (out []benchmark.Promise) {
	add := func(what string, n int, f benchmark.Figure, atMost float64) {
		if n != 1_000_000 {
			atMost = 0
		}
		k := scaleKeyOf(what, n)
		out = append(out, benchmark.Promise{What: k.What, Of: k, Figure: f, AtMost: atMost})
	}
	for _, n := range sizes {
		add(memoryWritten, n, benchmark.KeyBytes, 150)
		add(memoryRestored, n, benchmark.KeyBytes, 150)
		add(stallAlone, n, benchmark.Max, 0)
		add(stallBeside, n, benchmark.Max, 50)
		add(snapshotTook, n, benchmark.Max, 0)
		add(restartLog, n, benchmark.Max, 5000)
		add(restartSnapshot, n, benchmark.Max, 5000)
	}
	return append(append(out, memberPromises()...), valuePromises()...)
}
