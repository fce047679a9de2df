package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// loneWrites is how many there are for each way to read.
const loneWrites = 200

// afterWrite is a way to read at a follower what was just written at the leader.
type afterWrite struct {
	what, query string
	useIndex    bool
}

// waysToRead see the write all.
func waysToRead() []afterWrite {
	return []afterWrite{
		{"linearizable, right after a lone write", "?consistency=linearizable", false},
		{"eventual with Dengine-Min-Index, right after a lone write", "?consistency=eventual", true},
	}
}

func (a afterWrite) key() benchmark.Key { return ourKey(a.what, atFollower, 1) }

// measureAfterLoneWrites writes at the leader, and reads at a follower at once. The
// follower hears of the commit with the next message, which nothing but
// CommitTimeout brings.
func measureAfterLoneWrites(b *bench, t harness.T) {
	d := startDengine(t)
	write, read := dialed(t, d.leader), dialed(t, d.follower)
	for _, way := range waysToRead() {
		var took []time.Duration
		cores := use(t, d, func() {
			for n := range loneWrites {
				took = append(took, way.once(t, write, read, n))
			}
		})
		b.record(t, way.key(), benchmark.NewSample(took).With(cores))
	}
}

// once is one write, and how long the read after it took.
func (a afterWrite) once(t harness.T, write, read *client, n int) time.Duration {
	t.Helper()
	// Long enough for all to be still, and never in step with a timer.
	time.Sleep(20*time.Millisecond + rand.N(10*time.Millisecond))
	v := fmt.Sprintf("%08d%s", n, value[8:])
	index, err := write.put(key(0), v)
	if err != nil {
		t.Fatal(err)
	}
	if !a.useIndex {
		index = ""
	}
	start := time.Now()
	body, err := read.get(key(0), a.query, index)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(body, []byte(v)) {
		t.Fatalf("%s: did not see write %d: %s", a.what, n, body)
	}
	return took
}

// readableWithin is how soon a lone write must be readable at a follower, in ms.
const readableWithin = 15

func lonePromises() (out []benchmark.Promise) {
	for _, way := range waysToRead() {
		name := strings.Replace(way.what, ", right", " at a follower, right", 1)
		for _, f := range []benchmark.Figure{benchmark.P50, benchmark.Max} {
			out = append(out, benchmark.Promise{What: name + ", " + strings.TrimSuffix(string(f), " ms") + " of 200", Of: way.key(), Figure: f, AtMost: readableWithin})
		}
	}
	return out
}
