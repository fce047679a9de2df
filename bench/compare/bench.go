package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// group is what is measured on one cluster, which is started anew for each round
// and alone while it is measured.
type group struct {
	name string
	run  func(*bench, harness.T)
}

// bench is a run of the benchmark.
type bench struct {
	window benchmark.Window
	round  int // from 1
	book   benchmark.Book

	spoiled []string // what a group could not measure though it went on, and why
}

// spoil says what could not be measured, and why. The rest of the group goes on.
func (b *bench) spoil(t harness.T, k benchmark.Key, err error) {
	t.Helper()
	line := fmt.Sprintf("%v: %v", k, err)
	b.spoiled = append(b.spoiled, line)
	t.Errorf("*** NOT MEASURED: %s", line)
}

// cluster is what is measured.
type cluster interface {
	pids() []int
	// steady returns an error where another node leads than when it was asked last:
	// what was measured "at the leader" was not.
	steady(harness.T) error
}

// keyed is a load, and what to call what is measured of it.
type keyed struct {
	benchmark.Key
	benchmark.Load
	close func() // its connections
}

func (l keyed) as(k benchmark.Key) keyed {
	l.Key = k
	return l
}

// measure runs loads side by side and records what they found. Where that was
// disturbed it says so, and the next measurement may do better.
func (b *bench) measure(t harness.T, c cluster, loads ...keyed) {
	t.Helper()
	var all []benchmark.Load
	for _, l := range loads {
		defer l.close()
		all = append(all, l.Load)
	}
	samples, err := b.window.Measure(benchmark.NewMeter(c.pids()...), all...)
	if err := errors.Join(err, c.steady(t)); err != nil {
		b.spoil(t, loads[0].Key, err)
		return
	}
	for i, s := range samples {
		b.record(t, loads[i].Key, s)
	}
}

// way is one way to use a system that runs, by so many at once.
type way struct {
	cluster cluster
	load    func(n int) keyed
}

// inTurn measures ways with n at once, one after the other, and another one first each
// round: who comes first is no better off in the end.
func (b *bench) inTurn(t harness.T, n int, ways ...way) {
	t.Helper()
	for i := range ways {
		w := ways[(b.round+i)%len(ways)]
		b.measure(t, w.cluster, w.load(n))
	}
}

// use is the CPU time that a cluster takes while wait waits.
func use(t harness.T, c cluster, wait func()) benchmark.Use {
	t.Helper()
	u, err := benchmark.NewMeter(c.pids()...).Over(wait)
	if err := errors.Join(err, c.steady(t)); err != nil {
		t.Fatal(err)
	}
	return u
}

func (b *bench) record(t harness.T, k benchmark.Key, s benchmark.Sample) {
	b.book.Record(b.round, k, s)
	t.Logf("%v: %v", k, s)
}

// What is read was written before: values of 256 B, under so many keys that no one
// of them is hot.
const (
	keys       = 1000
	valueBytes = len(value)
)

// Keys are made once: to make one costs more than to send it.
var allKeys, allWrittenKeys = madeKeys("key%04d"), madeKeys("key%05d")

func madeKeys(format string) (all [keys]string) {
	for n := range all {
		all[n] = fmt.Sprintf(format, n)
	}
	return all
}

func key(n int) string { return allKeys[n] }

// writtenKey is a key of 8 B.
func writtenKey(n int) string { return allWrittenKeys[n] }

// value is text, so that JSON can hold it as it is: 256 B.
const (
	eighth = "01234567" + "89abcdef" + "01234567" + "89abcdef"
	value  = eighth + eighth + eighth + eighth + eighth + eighth + eighth + eighth
)

// pick returns a random key each time, and not the same ones for another seed.
func pick(seed int) func() int {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	return func() int { return r.IntN(keys) }
}

// executable is this program, for what it does in processes of its own.
func executable(t harness.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}
