package chaos

import (
	"fmt"
	"strings"

	"github.com/dengine/dengine/internal/benchmark"
)

// A process that gives back what it takes holds as much after an hour as after a
// minute. So what each process of a round holds is looked at again and again, and
// the last third of its life is compared with the middle one, by their medians; the
// first third is for getting going. A process that is started again begins anew.

// holding is what a process holds at one moment.
type holding struct {
	goroutines, files float64
	live, resident    float64 // bytes: of the heap after its last collection; of memory
	leads             bool    // it is a node, and the leader
}

// measure is one thing that a process holds.
type measure struct {
	name string
	of   func(holding) float64
	unit float64 // of what is shown
	// It has grown where the later median is more than the earlier one by more than
	// slack and by more than share of it.
	slack, share float64
	fails        bool // a round in which it has grown has failed; else that is only said
}

// measures are the tolerances too. What one fault or one client takes is below the
// slack; what each of them leaves behind is soon above it.
func measures() []measure {
	const mib = 1 << 20
	return []measure{
		{name: "goroutines", of: func(h holding) float64 { return h.goroutines }, unit: 1, slack: 40, share: 0.1, fails: true},
		{name: "open files", of: func(h holding) float64 { return h.files }, unit: 1, slack: 40, share: 0.1, fails: true},
		{name: "MiB of heap", of: func(h holding) float64 { return h.live }, unit: mib, slack: 8 * mib, share: 0.25},
		{name: "MiB resident", of: func(h holding) float64 { return h.resident }, unit: mib, slack: 16 * mib, share: 0.25},
	}
}

// leastLooks is how many times a process must have been looked at to be judged.
const leastLooks = 60

// life is one run of a process, or as much of it as it led, or did not.
type life struct {
	name  string
	pid   int
	leads bool
	looks []holding
}

// trend is what became of a measure in one life.
type trend struct {
	measure
	from, to float64 // medians of the middle and the last third
}

func (m measure) trend(looks []holding) trend {
	var values []float64
	for _, h := range looks {
		values = append(values, m.of(h))
	}
	third := len(values) / 3
	return trend{
		measure: m,
		from:    benchmark.Quantile(values[third:len(values)-third], 0.5),
		to:      benchmark.Quantile(values[len(values)-third:], 0.5),
	}
}

func (t trend) grew() bool { return t.to-t.from > max(t.slack, t.share*t.from) }

// String is "12 to 13 goroutines".
func (t trend) String() string {
	return fmt.Sprintf("%.0f to %.0f %s", t.from/t.unit, t.to/t.unit, t.name)
}

// judgeLives says of each process what it held and whether that levelled out, by its
// longest life, and of lives that were long enough what grew in them. bad is what no
// round may have; it is empty where there is none.
func judgeLives(lives []*life) (notes string, bad string) {
	var said, failed []string
	for _, l := range longest(lives) {
		if len(l.looks) < leastLooks {
			said = append(said, fmt.Sprintf("%s: its longest run was too short to tell", l.name))
			continue
		}
		var trends []string
		for _, m := range measures() {
			trends = append(trends, m.trend(l.looks).String())
		}
		said = append(said, l.name+": "+strings.Join(trends, ", "))
	}
	for _, l := range lives {
		if len(l.looks) < leastLooks {
			continue
		}
		for _, m := range measures() {
			t := m.trend(l.looks)
			switch {
			case t.grew() && m.fails:
				failed = append(failed, fmt.Sprintf("%s, process %d: %v", l.name, l.pid, t))
			case t.grew():
				said = append(said, fmt.Sprintf("not levelled out: %s, process %d: %v", l.name, l.pid, t))
			}
		}
	}
	if len(failed) > 0 {
		bad = "a process goes on taking more: " + strings.Join(failed, "; ")
	}
	return strings.Join(said, "; "), bad
}

// longest returns each process's longest life, in the order in which they were
// first seen.
func longest(lives []*life) []*life {
	var out []*life
	at := map[string]int{}
	for _, l := range lives {
		i, ok := at[l.name]
		switch {
		case !ok:
			at[l.name] = len(out)
			out = append(out, l)
		case len(l.looks) > len(out[i].looks):
			out[i] = l
		}
	}
	return out
}
