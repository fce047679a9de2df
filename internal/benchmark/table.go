package benchmark

import (
	"fmt"
	"math"
	"strings"
)

// Tables are the ratios and then the rows, as tables in Markdown.
func (r Result) Tables() string {
	var rows [][]string
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	return RatioTable(r.Ratios) + "\n" +
		Table([]string{"system", "what", "at", "connections", "requests/s", "p50", "p99", "max", "cores: load", "servers", "others", "server CPU per request", "CPU stolen", "rounds"}, rows)
}

// RatioTable shows what was measured of promises.
func RatioTable(verdicts []Verdict) string {
	var ratios [][]string
	for _, v := range verdicts {
		ratios = append(ratios, v.cells())
	}
	return Table([]string{"what", "connections", "median", "by CPU time", "lowest and highest round", "rounds", "wanted", ""}, ratios)
}

// Table is a table in Markdown. Rows may be shorter than the head.
func Table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func (v Verdict) cells() []string {
	unit := ""
	if _, u, ok := strings.Cut(string(v.Figure), " "); ok && !v.Ratio {
		unit = " " + u
	}
	wanted, mark, perCPU := "", "", ""
	if v.PerCPU > 0 {
		perCPU = short(v.PerCPU)
	}
	if v.AtLeast > 0 {
		wanted = fmt.Sprintf("≥ %v%s", v.AtLeast, unit)
	}
	if v.AtMost > 0 {
		wanted = fmt.Sprintf("≤ %v%s", v.AtMost, unit)
	}
	if !v.Met {
		mark = "**missed**"
	}
	return []string{
		v.What, count(v.Connections), short(v.Median) + unit, perCPU,
		fmt.Sprintf("%s to %s", short(v.Lowest), short(v.Highest)), fmt.Sprint(v.Rounds), wanted, mark,
	}
}

func (r Row) cells() []string {
	perRequest := ""
	if r.PerSecond > 0 {
		perRequest = fmt.Sprintf("%.0f µs", 1e6*r.ServerCores/r.PerSecond)
	}
	return []string{
		r.System, r.What, r.At, count(r.Connections), count(int(math.Round(r.PerSecond))), Millis(r.P50), Millis(r.P99), Millis(r.Max),
		fmt.Sprintf("%.2f", r.LoadCores), fmt.Sprintf("%.2f", r.ServerCores), fmt.Sprintf("%.2f", r.OtherCores), perRequest, fmt.Sprintf("%.0f %%", r.Stolen), fmt.Sprint(len(r.Rounds)),
	}
}

// count is empty for what was not counted.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// Millis is a time for people, of milliseconds; empty for what was not timed.
func Millis(ms float64) string {
	switch {
	case ms == 0:
		return ""
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// short is a figure with two digits behind the point, or none where it is large.
func short(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
