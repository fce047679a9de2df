package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/benchmark"
)

// proxyTables are what was wanted, the ratios, and then the figures.
func proxyTables(r benchmark.Result) string {
	out := "**What was wanted.** A ratio is dengine's figure by the other's, taken within a round: the median of the rounds.\n\n" + wanted(r)
	add := func(title, table string) {
		if table != "" {
			out += "\n" + title + "\n\n" + table
		}
	}
	for _, name := range []string{ours, noWorkers} {
		for _, rival := range rivals() {
			add("**"+name+" / "+rival.people+"** at so many connections: requests/s (and the proxy's CPU time for a request).", matrix(r, name, rival))
		}
	}
	if v := verdicts(r, safePromises()); len(v) > 0 {
		add("**What safety costs**: the balancer with it / without it.", benchmark.RatioTable(v))
	}
	add("**At a fixed rate**, half of HAProxy's most in that round; a latency counts from when the request was due.", figures(r, workload.pacedKey))
	add("**As fast as it goes.**", figures(r, workload.key))
	return out
}

// wanted are the floors. One that lacks the other's figure is said to.
func wanted(r benchmark.Result) string {
	var limited []benchmark.Promise
	missing := ""
	for _, p := range proxyPromises() {
		if p.AtLeast == 0 && p.AtMost == 0 {
			continue
		}
		limited = append(limited, p)
		if row(r, p.Of) != nil && row(r, p.To) == nil {
			missing += fmt.Sprintf("- **not measured:** %s, %d connections\n", p.What, p.Of.Connections)
		}
	}
	if missing != "" {
		missing = "\n" + missing
	}
	return benchmark.RatioTable(verdicts(r, limited)) + missing
}

// verdicts are those on promises, where there are any.
func verdicts(r benchmark.Result, promises []benchmark.Promise) (out []benchmark.Verdict) {
	for _, p := range promises {
		for _, v := range r.Ratios {
			if v.What == p.What && v.Connections == p.Of.Connections && v.Figure == p.Figure {
				out = append(out, v)
			}
		}
	}
	return out
}

// matrix has a line for each workload and a column for each number of connections;
// it is empty where nothing was compared.
func matrix(r benchmark.Result, name string, rival proxy) string {
	head := []string{"request", "from"}
	for _, n := range proxyConnections {
		head = append(head, fmt.Sprint(n))
	}
	var lines [][]string
	for _, w := range workloads() {
		line, any := []string{w.what, w.at}, false
		for _, n := range proxyConnections {
			cell := ""
			if v := verdicts(r, []benchmark.Promise{w.ratio(name, rival, benchmark.PerSecond, n), w.ratio(name, rival, benchmark.CPUMicros, n)}); len(v) == 2 {
				cell, any = fmt.Sprintf("%.2f (%.2f)", v[0].Median, v[1].Median), true
			}
			line = append(line, cell)
		}
		if any {
			lines = append(lines, line)
		}
	}
	if lines == nil {
		return ""
	}
	return benchmark.Table(head, lines)
}

// figures are the medians of each proxy, side by side, under the keys that key makes;
// empty where nothing was found.
func figures(r benchmark.Result, key func(w workload, system string, connections int) benchmark.Key) string {
	systems := []string{ours, noWorkers}
	for _, p := range rivals() {
		systems = append(systems, p.name)
	}
	var lines [][]string
	for _, w := range workloads() {
		for _, n := range proxyConnections {
			for _, system := range append(systems, nobody) {
				if found := row(r, key(w, system, n)); found != nil {
					lines = append(lines, cells(w, found))
				}
			}
		}
	}
	if lines == nil {
		return ""
	}
	return benchmark.Table([]string{
		"request", "from", "connections", "through", "asked for", "requests/s", "p50", "p99", "p99.9", "max",
		"CPU per request", "RSS", "cores: load", "servers", "others", "rounds",
	}, lines)
}

func cells(w workload, r *benchmark.Row) []string {
	ifAny := func(format string, v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	return []string{
		w.what, w.at, fmt.Sprint(r.Connections), r.System, ifAny("%.0f", r.Offered), fmt.Sprintf("%.0f", r.PerSecond),
		benchmark.Millis(r.P50), benchmark.Millis(r.P99), benchmark.Millis(r.P999), benchmark.Millis(r.Max),
		ifAny("%.1f µs", r.CPUMicros), ifAny("%.0f MiB", r.RSS),
		fmt.Sprintf("%.2f", r.LoadCores), fmt.Sprintf("%.2f", r.ServerCores), fmt.Sprintf("%.2f", r.OtherCores), fmt.Sprint(len(r.Rounds)),
	}
}

// row is what was found under a key; nil where nothing was.
func row(r benchmark.Result, k benchmark.Key) *benchmark.Row {
	for i := range r.Rows {
		if r.Rows[i].Key == k {
			return &r.Rows[i]
		}
	}
	return nil
}
