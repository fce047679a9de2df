package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/benchmark"
)

// bestStore is the log store that most is asked of: the faster one.
const bestStore = "wal"

// Floors of the issue: durable writes by etcd's and by rqlite's, with the best log
// store, and through the balancer by directly.
var (
	etcdFloors   = map[int]float64{1: 1.5, 64: 2.5, 256: 3.5}
	rqliteFloors = map[int]float64{256: 6}
	frontFloors  = map[int]float64{256: 0.75}
)

func writePromises() (out []benchmark.Promise) {
	add := func(what string, of, to benchmark.Key, f benchmark.Figure, atLeast float64) {
		out = append(out, benchmark.Promise{What: what, Of: of, To: to, Figure: f, AtLeast: atLeast})
	}
	for _, store := range logStores {
		for _, n := range writerCounts {
			floor := 0.0
			if store == bestStore {
				floor = etcdFloors[n]
			}
			ours := writeKey(storeSystem(store), atLeader, n)
			add("writes, "+store+" / etcd", ours, writeKey("etcd", atLeader, n), benchmark.PerSecond, floor)
		}
	}
	for _, n := range writerCounts {
		add("writes, "+bestStore+", over as many connections as etcd's / etcd", writeKey(storeSystem(bestStore), atLeaderMultiplexed, n),
			writeKey("etcd", atLeader, n), benchmark.PerSecond, 0)
	}
	for _, n := range writerCounts {
		add("writes, "+bestStore+" / rqlite", writeKey(storeSystem(bestStore), atLeader, n), writeKey("rqlite", atLeader, n), benchmark.PerSecond, rqliteFloors[n])
	}
	for _, store := range logStores {
		for _, n := range writerCounts {
			add("writes, "+store+", through the balancer / at the leader", writeKey(storeSystem(store), throughBalancer, n),
				writeKey(storeSystem(store), atLeader, n), benchmark.PerSecond, frontFloors[n])
		}
	}
	for _, n := range writerCounts {
		add("writes, wal / bolt", writeKey(storeSystem("wal"), atLeader, n), writeKey(storeSystem("bolt"), atLeader, n), benchmark.PerSecond, 0)
	}
	for _, n := range writerCounts {
		add("p99 of writes, "+bestStore+" / etcd", writeKey(storeSystem(bestStore), atLeader, n), writeKey("etcd", atLeader, n), benchmark.P99, 0)
	}
	return out
}

// writeTables are the ratios, and the figures with what writes cost the disk.
func writeTables(r benchmark.Result) string {
	var rows [][]string
	for _, row := range r.Rows {
		rows = append(rows, writeCells(row))
	}
	return benchmark.RatioTable(r.Ratios) + "\n" + benchmark.Table([]string{
		"system", "at", "clients", "requests/s", "p50", "p99", "flushes/s", "written for each", "cores: load", "servers", "others", "server CPU per request", "rounds",
	}, rows)
}

func writeCells(r benchmark.Row) []string {
	written, cpu := "", ""
	if r.PerSecond > 0 {
		written = fmt.Sprintf("%.0f B", r.Written/r.PerSecond)
		cpu = fmt.Sprintf("%.0f µs", 1e6*r.ServerCores/r.PerSecond)
	}
	return []string{
		r.System, r.At, fmt.Sprint(r.Connections), fmt.Sprintf("%.0f", r.PerSecond), benchmark.Millis(r.P50), benchmark.Millis(r.P99),
		fmt.Sprintf("%.0f", r.Flushes), written, fmt.Sprintf("%.2f", r.LoadCores), fmt.Sprintf("%.2f", r.ServerCores), fmt.Sprintf("%.2f", r.OtherCores),
		cpu, fmt.Sprint(len(r.Rounds)),
	}
}
