package main

import (
	"fmt"
	"slices"

	"github.com/dengine/dengine/internal/benchmark"
)

// floor is a limit that the issue sets.
type floor struct {
	group       string
	rival       string
	figure      benchmark.Figure
	connections int
	atLeast     float64
	atMost      float64
}

// floors are all of them.
func floors() []floor {
	out := []floor{
		{"get-16", haproxy, benchmark.PerSecond, 16, 0.95, 0},
		{"get-16", haproxy, benchmark.PerSecond, 64, 1, 0},
		{"get-16", haproxy, benchmark.PerSecond, 256, 1.05, 0},
		{"get-16", haproxy, benchmark.CPUMicros, 64, 0, 1},
		{"get-16", haproxy, benchmark.CPUMicros, 256, 0, 1},
		{"get-1k", nginx, benchmark.PerSecond, 64, 1, 0},
	}
	for _, n := range named("get-16").paced {
		out = append(out, floor{"get-16", haproxy, benchmark.P99, n, 0, 1.2})
	}
	for _, w := range []string{"get-16", "get-1k", "post-256"} { // up to 1 KiB
		for _, n := range proxyConnections {
			if n >= 16 {
				out = append(out, floor{w, caddy, benchmark.PerSecond, n, 3, 0})
			}
		}
	}
	return out
}

// ratio is the figure of ours, under the name that it has, by a rival's: at full speed
// requests/s and the CPU time of a request, at a fixed rate p99.
func (w workload) ratio(name string, r proxy, f benchmark.Figure, n int) benchmark.Promise {
	key := w.key
	if f == benchmark.P99 {
		key = w.pacedKey
	}
	return benchmark.Promise{
		What: fmt.Sprintf("%s: %s, %s / %s", key(name, n).What+" from "+w.at, f, name, r.people),
		Of:   key(name, n), To: key(r.name, n), Figure: f,
	}
}

// proxyPromises are the ratios of all that was compared, and where the issue sets a
// floor, that.
func proxyPromises() (out []benchmark.Promise) {
	limits := floors()
	add := func(w workload, name string, r proxy, f benchmark.Figure, n int) {
		p := w.ratio(name, r, f, n)
		for _, l := range limits {
			if name == ours && l.group == w.group && l.rival == r.name && l.figure == f && l.connections == n {
				p.AtLeast, p.AtMost = l.atLeast, l.atMost
			}
		}
		out = append(out, p)
	}
	for _, w := range workloads() {
		for _, name := range []string{ours, noWorkers} {
			for _, r := range rivals() {
				for _, n := range proxyConnections {
					add(w, name, r, benchmark.PerSecond, n)
					add(w, name, r, benchmark.CPUMicros, n)
					if slices.Contains(w.paced, n) {
						add(w, name, r, benchmark.P99, n)
					}
				}
			}
		}
	}
	return append(out, safePromises()...)
}
