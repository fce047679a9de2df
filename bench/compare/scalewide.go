package main

import (
	"fmt"
	"strings"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// memberCounts are how many nodes a write goes to.
var memberCounts = [...]int{3, 5, 7}

func membersKey(n int) benchmark.Key {
	return ourKey(fmt.Sprintf("writes of 256 B, %d nodes", n), atLeader, writers)
}

// measureMembers writes to clusters of several sizes, all on this machine: what more
// nodes cost in all, not what they would cost each alone.
func measureMembers(b *bench, t harness.T) {
	for _, n := range memberCounts {
		d := &dengine{Cluster: harness.Start(t, harness.Options{NoLB: true, Nodes: n})}
		d.look()
		b.measure(t, d, d.writesOf(t, writers, value).as(membersKey(n)))
		for _, p := range d.Nodes {
			p.Kill()
		}
	}
}

func memberPromises() (out []benchmark.Promise) {
	for _, n := range memberCounts[1:] {
		out = append(out, benchmark.Promise{
			What: fmt.Sprintf("writes to %d nodes / to %d", n, memberCounts[0]), Of: membersKey(n), To: membersKey(memberCounts[0]), Figure: benchmark.PerSecond,
		})
	}
	return out
}

// valueSizes are the lengths of values in bytes, and how many writers there are for
// each: what is in flight of large ones is bounded.
var valueSizes = []struct{ bytes, writers int }{{16, 64}, {256, 64}, {4 << 10, 64}, {64 << 10, 16}, {1 << 20, 4}}

func valuesKey(i int) benchmark.Key {
	return ourKey(fmt.Sprintf("writes of %d B", valueSizes[i].bytes), atLeader, valueSizes[i].writers)
}

// measureValues writes values of several lengths, each to a cluster of its own, since
// their logs differ.
func measureValues(b *bench, t harness.T) {
	for i, size := range valueSizes {
		d := &dengine{Cluster: harness.Start(t, harness.Options{NoLB: true})}
		d.look()
		b.measure(t, d, d.writesOf(t, size.writers, strings.Repeat("v", size.bytes)).as(valuesKey(i)))
		for _, p := range d.Nodes {
			p.Kill()
		}
	}
}

func valuePromises() (out []benchmark.Promise) {
	for i := range valueSizes {
		k := valuesKey(i)
		out = append(out, benchmark.Promise{What: k.What, Of: k, Figure: benchmark.PerSecond})
	}
	return out
}
