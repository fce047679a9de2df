package failover

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// around is how much of the logs before a stall and after it explains it.
const around = 50 * time.Millisecond

// explain shows what every process of dengine's logged around a stall, in the
// order of time: the evidence for a stall that is over its limit.
func explain(t harness.T, c *harness.Cluster, begin time.Time, length time.Duration) {
	var lines []logLine
	for _, p := range append(slices.Clone(c.Nodes), c.LB) {
		if p != nil {
			lines = append(lines, readLog(p.Name, p.Log())...)
		}
	}
	t.Logf("a stall of %v, and what was logged around it (0 is its start):\n%s",
		length.Round(time.Millisecond), window(lines, begin, begin.Add(length)))
}

// logLine is one line of a process's log.
type logLine struct {
	at   time.Time
	name string
	text string
}

// readLog reads a log of lines of JSON, or of lines that begin with their time and
// a tab; what is neither has no time, and is left out.
func readLog(name, log string) []logLine {
	var lines []logLine
	for text := range strings.Lines(log) {
		var stamp struct{ TS time.Time }
		if json.Unmarshal([]byte(text), &stamp) != nil {
			first, _, _ := strings.Cut(text, "\t")
			stamp.TS, _ = time.Parse(time.RFC3339Nano, first) // zero where it is no time
		}
		if !stamp.TS.IsZero() {
			lines = append(lines, logLine{stamp.TS, name, strings.TrimSpace(text)})
		}
	}
	return lines
}

// window prints the lines around [from, to] with their time since from.
func window(lines []logLine, from, to time.Time) string {
	slices.SortStableFunc(lines, func(a, b logLine) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range lines {
		if l.at.After(from.Add(-around)) && l.at.Before(to.Add(around)) {
			fmt.Fprintf(&out, "%+8.1f ms %s %s\n", l.at.Sub(from).Seconds()*1000, l.name, l.text)
		}
	}
	return out.String()
}
