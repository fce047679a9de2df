package main

import (
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// found is a result of one workload, in which we carry so much and HAProxy 100.
func found(perSecond float64) benchmark.Result {
	w := named("get-16")
	var b benchmark.Book
	b.Record(1, w.key(haproxy, 64), benchmark.Sample{PerSecond: 100, CPUMicros: 20, P50: 1, P99: 2, P999: 3, RSS: 15, LoadCores: 1, ServerCores: 1})
	b.Record(1, w.key(ours, 64), benchmark.Sample{PerSecond: perSecond, CPUMicros: 18, P50: 1, P99: 2, P999: 3, RSS: 25, LoadCores: 1, ServerCores: 1})
	b.Record(1, w.pacedKey(haproxy, 64), benchmark.Sample{PerSecond: 50, Offered: 50, P99: 2})
	b.Record(1, w.pacedKey(ours, 64), benchmark.Sample{PerSecond: 50, Offered: 50, P99: 2.5})
	return benchmark.Result{Rows: b.Rows(), Ratios: b.Judge(proxyPromises())}
}

// A floor is met or missed, and one that could not be measured is neither.
func TestProxyTables(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[float64]string{
		99:  "requests/s, dengine / HAProxy | 64 | 0.99 | 0.99 | 0.99 to 0.99 | 1 | ≥ 1 | **missed** |\n",
		100: "requests/s, dengine / HAProxy | 64 | 1.00 | 1.00 | 1.00 to 1.00 | 1 | ≥ 1 |  |\n",
	} {
		if out := proxyTables(found(perSecond)); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out := proxyTables(found(100))
	for _, want := range []string{
		"p99 ms, dengine / HAProxy | 64 | 1.25 |  | 1.25 to 1.25 | 1 | ≤ 1.2 | **missed** |\n",
		"CPU µs/request, dengine / HAProxy | 64 | 0.90 |  | 0.90 to 0.90 | 1 | ≤ 1 |  |\n",
		"\n- **not measured:** GET 16 B from three plain servers: requests/s, dengine / Caddy, 64 connections\n",
		"| GET 16 B | three plain servers |  |  | 1.00 (0.90) |  |  |\n",
		"| GET 16 B | three plain servers | 64 | dengine | 50 | 50 |  | 2.50 ms |  |  |  |  | 0.00 | 0.00 | 0.00 | 1 |\n",
		"| GET 16 B | three plain servers | 64 | dengine |  | 100 | 1.00 ms | 2.00 ms | 3.00 ms |  | 18.0 µs | 25 MiB | 1.00 | 1.00 | 0.00 | 1 |\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, never := range []string{"GET 64 KiB", "dengine / Caddy**", "16 connections", "What safety costs"} {
		if strings.Contains(out, never) {
			t.Errorf("%q is there, and was not measured:\n%s", never, out)
		}
	}
}
