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
	Level      string         `json:"level"`
	Fault      string         `json:"fault"` // or two, joined by "+"
	Nodes      int            `json:"nodes"`
	Store      string         `json:"store"`
	Seed       uint64         `json:"seed"`
	Command    string         `json:"command"`    // that runs it again
	Operations int            `json:"operations"` // in the history
	PerSecond  float64        `json:"per_second"`
	Healthy    float64        `json:"healthy_per_second"` // before the first fault
	Reads      int            `json:"reads"`
	Leased     int            `json:"leased"`       // reads answered under a lease, of nodes that were not killed since
	Acked      int            `json:"acknowledged"` // writes
	Unknown    int            `json:"unknown"`      // outcomes
	Elections  uint64         `json:"elections"`    // terms that began
	Faults     int            `json:"faults"`
	Stall      time.Duration  `json:"stall_ns"`         // longest without an acknowledged write of the balancer's, though some were waiting
	Levels     string         `json:"levels,omitempty"` // what the processes held, and whether that levelled out
	Verdict    string         `json:"verdict"`
	Evidence   string         `json:"evidence,omitempty"` // folder
	Reasons    map[string]int `json:"reasons,omitempty"`  // of what was refused or failed; not_leader aside
}

// newRow names a round.
func newRow(s Setup) Row {
	s = s.complete()
	return Row{Level: s.Promise.String(), Fault: Names(s.Nemeses), Nodes: s.Nodes, Store: s.Store, Seed: s.Seed, Command: s.Command()}
}

// Unfinished is the row of a round that has not come to its end.
func Unfinished(s Setup, why string) Row {
	out := newRow(s)
	out.Verdict = "it did not come to its end: " + why
	return out
}

// row counts what happened.
func (r *round) row(rate float64) Row {
	ops, last := r.load.ops, time.Duration(0)
	out := newRow(r.s)
	out.Operations, out.Healthy, out.Unknown, out.Reasons = len(ops), math.Round(rate), r.load.tally.unknown, r.load.tally.reasons
	out.Elections, out.Faults, out.Leased = r.term()-r.begin, len(r.events), int(r.leased)
	out.Stall = longestStall(ops)
	for _, o := range ops {
		last = max(last, o.Call)
		switch {
		case o.Kind == Read || o.Kind == Scan:
			out.Reads++
		case o.writes() && o.Result == OK:
			out.Acked++
		}
	}
	if last > 0 {
		out.PerSecond = math.Round(float64(len(ops)) / last.Seconds())
	}
	return out
}

// WriteTable writes rows as a table in Markdown, and below it what needs words.
func WriteTable(w io.Writer, rows []Row) error {
	head := []string{"round", "fault", "level", "nodes", "store", "operations", "ops/s", "healthy ops/s", "reads", "leased", "acknowledged writes", "unknown outcomes", "elections", "faults caused", "longest stall", "seed", "verdict"}
	var cells [][]string
	var notes strings.Builder
	for i, r := range rows {
		line := []string{fmt.Sprint(i + 1), r.Fault, r.Level}
		for _, n := range []any{
			r.Nodes, r.Store, r.Operations, r.PerSecond, r.Healthy, r.Reads, r.Leased, r.Acked, r.Unknown, r.Elections, r.Faults, seconds(r.Stall), r.Seed,
		} {
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

// seconds is a length of time for a table.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
