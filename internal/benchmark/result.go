package benchmark

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Result is a whole run, as it is written to a file.
type Result struct {
	Date     time.Time         `json:"date"`
	Command  string            `json:"command"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions,omitempty"` // of what others make
	Seconds  int               `json:"seconds"`            // each measurement
	Ratios   []Verdict         `json:"ratios"`
	Rows     []Row             `json:"rows"`
	Problems []string          `json:"problems,omitempty"` // why something could not be measured
}

// Save writes a result, whatever it is, as JSON; folders are made.
func Save(file string, result any) error {
	b, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// WriteTables writes the ratios and then the rows as tables in Markdown.
func (r Result) WriteTables(w io.Writer) error {
	var ratios, rows [][]string
	for _, v := range r.Ratios {
		ratios = append(ratios, v.cells())
	}
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	out := Table([]string{"what", "connections", "median", "by CPU time", "lowest and highest round", "rounds", "wanted", ""}, ratios) + "\n" +
		Table([]string{"system", "what", "at", "connections", "requests/s", "p50", "p99", "max", "cores: load", "servers", "others", "server CPU per request", "CPU stolen", "rounds"}, rows)
	if len(r.Problems) > 0 {
		out += "\n- not measured: " + strings.Join(r.Problems, "\n- not measured: ") + "\n"
	}
	_, err := io.WriteString(w, out)
	return err
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
		r.System, r.What, r.At, count(r.Connections), count(int(math.Round(r.PerSecond))), length(r.P50), length(r.P99), length(r.Max),
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

// length is a time for people, of milliseconds; empty for what was not timed.
func length(ms float64) string {
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
