package main

import (
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// Keys of what is written are as long as the issue has them.
func TestKeysHave8Bytes(t *testing.T) {
	t.Parallel()
	if n := len(writtenKey(keys - 1)); n != 8 {
		t.Errorf("keys have %d B, want 8", n)
	}
}

// A floor is met or missed, and the disk's part is told for each write.
func TestWriteTables(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[float64]string{
		250: "| writes, wal / etcd | 64 | 2.50 | 2.50 | 2.50 to 2.50 | 1 | ≥ 2.5 |  |\n",
		240: "| writes, wal / etcd | 64 | 2.40 | 2.40 | 2.40 to 2.40 | 1 | ≥ 2.5 | **missed** |\n",
	} {
		var b benchmark.Book
		b.Record(1, writeKey("etcd", atLeader, 64), benchmark.Sample{PerSecond: 100, LoadCores: 1, ServerCores: 1})
		b.Record(1, writeKey(storeSystem("wal"), atLeader, 64), benchmark.Sample{
			PerSecond: perSecond, LoadCores: 1, ServerCores: 1, Written: perSecond * 900, Flushes: 77,
		})
		out := writeTables(benchmark.Result{Rows: b.Rows(), Ratios: b.Judge(writePromises())})
		for _, want := range []string{want, "| 77 | 900 B | 1.00 | 1.00 |"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	}
}

// The floors of the issue are all promised.
func TestWriteFloors(t *testing.T) {
	t.Parallel()
	floors := map[string]float64{}
	for _, p := range writePromises() {
		if p.AtLeast > 0 {
			floors[benchmark.Key{What: p.What, Connections: p.Of.Connections}.String()] = p.AtLeast
		}
	}
	if len(floors) != len(etcdFloors)+len(rqliteFloors)+2*len(frontFloors) {
		t.Errorf("%v", floors)
	}
}
