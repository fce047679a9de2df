package main

import (
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// commitTimeouts are the one that we ship and raft's own.
var commitTimeouts = [...]string{"5ms", "50ms"}

func idleKey(commitTimeout string) benchmark.Key {
	return benchmark.Key{System: "dengine", What: "idle, --commit-timeout " + commitTimeout, At: atAll}
}

// measureIdle is the CPU time that three nodes take who are asked for nothing, for
// twice the length of other measurements.
func measureIdle(b *bench, t harness.T) {
	for _, timeout := range commitTimeouts {
		d := startDengine(t, "--commit-timeout", timeout)
		time.Sleep(2 * b.window.WarmUp)
		cores := use(t, d, func() { time.Sleep(2 * b.window.Length) })
		b.record(t, idleKey(timeout), benchmark.Sample{}.With(cores))
		for _, p := range d.Nodes { // the next cluster is measured alone
			p.Kill()
		}
	}
}

func idlePromises() (out []benchmark.Promise) {
	for _, timeout := range commitTimeouts {
		out = append(out, benchmark.Promise{What: "CPU of three idle nodes, --commit-timeout " + timeout, Of: idleKey(timeout), Figure: benchmark.ServerCores})
	}
	return out
}
