package chaos

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// Kept is the verdict of a round whose promise was kept.
const Kept = "OK"

// Row is what became of one round.
type Row struct {
	Level      string
	Fault      string
	Seed       uint64
	Operations int // in the history
	PerSecond  float64
	Healthy    float64 // before the first fault
	Reads      int
	Leased     int // reads answered under a lease, of nodes that were not killed since
	Unknown    int
	Elections  uint64 // terms that began
	Faults     int
	Levels     string // what the processes held, and whether that levelled out
	Verdict    string
	Evidence   string         // folder
	Reasons    map[string]int // of what was refused or failed; not_leader aside
}

// Unfinished is the row of a round that has not come to its end.
func Unfinished(s Setup, why string) Row {
	return Row{Level: s.Promise.String(), Fault: s.Fault.Name, Seed: s.Seed, Verdict: "it did not come to its end: " + why}
}

// row counts what happened.
func (r *round) row(rate float64) Row {
	ops, last := r.load.ops, time.Duration(0)
	out := Row{
		Level: r.s.Promise.String(), Fault: r.s.Fault.Name, Seed: r.s.Seed, Operations: len(ops), Healthy: math.Round(rate),
		Unknown: r.load.tally.unknown, Elections: r.term() - r.begin, Faults: len(r.events), Leased: int(r.leased), Reasons: r.load.tally.reasons,
	}
	for _, o := range ops {
		last = max(last, o.Call)
		if o.Kind == Read {
			out.Reads++
		}
	}
	if last > 0 {
		out.PerSecond = math.Round(float64(len(ops)) / last.Seconds())
	}
	return out
}

// WriteTable writes rows as a table in Markdown, and below it what needs words.
func WriteTable(w io.Writer, rows []Row) error {
	head := []string{"round", "level", "fault", "operations", "ops/s", "healthy ops/s", "reads", "leased", "unknown outcomes", "elections", "faults caused", "seed", "verdict"}
	var cells [][]string
	var notes strings.Builder
	for i, r := range rows {
		line := []string{fmt.Sprint(i + 1), r.Level, r.Fault}
		for _, n := range []any{r.Operations, r.PerSecond, r.Healthy, r.Reads, r.Leased, r.Unknown, r.Elections, r.Faults, r.Seed} {
			line = append(line, fmt.Sprint(n))
		}
		verdict := r.Verdict
		if verdict != Kept {
			verdict = "FAILED"
			fmt.Fprintf(&notes, "\n- round %d: %s", i+1, r.Verdict)
			if r.Evidence != "" {
				fmt.Fprintf(&notes, "; evidence in %s", r.Evidence)
			}
		}
		if r.Levels != "" {
			fmt.Fprintf(&notes, "\n- round %d: %s", i+1, r.Levels)
		}
		cells = append(cells, append(line, verdict))
		for _, why := range slices.Sorted(maps.Keys(r.Reasons)) {
			fmt.Fprintf(&notes, "\n- round %d: %d × %s", i+1, r.Reasons[why], why)
		}
	}
	_, err := io.WriteString(w, benchmark.Table(head, cells)+notes.String()+"\n")
	return err
}
