package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dengine/dengine/internal/harness"
)

// workload is one kind of thing that clients do, on keys of its own.
type workload interface {
	// join gives a client its part: each call is one operation or a few, which
	// are noted.
	join(c *client) (act func())
	// closing reads all that is left, when everybody has come to an end; false where
	// it could not be read.
	closing(c *client) bool
	// check looks for what is wrong with this workload's part of a history; nil
	// where nothing is.
	check(h []Op) *Finding
}

// Names of the workloads, as in Op; those of registers have none.
const (
	ofRegisters = ""
	ofCounters  = "counters"
	ofBank      = "bank"
	ofSet       = "set"
	ofList      = "list"
	ofLadders   = "ladders"
	ofExpiry    = "expiry"
)

// plied is a workload of a load.
type plied struct {
	name  string // for people
	share int    // of all that clients do, beside the others'
	op    string // Op.Workload
	workload
}

// all are the workloads that there are.
func (l *load) all() []plied {
	return []plied{
		{"registers", 40, ofRegisters, registers{l}},
		{ofCounters, 14, ofCounters, counters{l}},
		{ofBank, 12, ofBank, bank{l}},
		{ofSet, 12, ofSet, set{l}},
		{ofList, 8, ofList, list{l}},
		{ofLadders, 10, ofLadders, &ladders{l: l}},
		{ofExpiry, 4, ofExpiry, expiry{l}},
	}
}

// Workloads are the names of what clients can do; see Profile.Only.
func Workloads() []string {
	var out []string
	for _, w := range new(load).all() {
		out = append(out, w.name)
	}
	return out
}

// chosen are the workloads of the load's profile.
func (l *load) chosen() []plied {
	return slices.DeleteFunc(l.all(), func(w plied) bool {
		return len(l.p.Only) > 0 && !slices.Contains(l.p.Only, w.name)
	})
}

// Validate names what there is no load for.
func (p Profile) Validate() error {
	known := Workloads()
	for _, name := range p.Only {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no workload %q, but %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

var errUnread = errors.New("it could not be read")

// finish reads what is left when the load has ended and the cluster is whole: what
// was lost may not have been missed before.
func (l *load) finish(t harness.T) {
	t.Helper()
	c := l.newClientAt(l.front, random(0, 0))
	defer c.here.Close()
	for _, w := range l.workloads {
		harness.Eventually(t, "the last state of the "+w.name, func() error {
			if !w.closing(c) {
				return errUnread
			}
			return nil
		})
	}
}

// check judges the history: the first finding of a workload, nil where there is
// none.
func (l *load) check() *Finding {
	for _, w := range l.workloads {
		if f := w.check(partOf(l.ops, w.op)); f != nil {
			return f
		}
	}
	return nil
}

// key is one of a workload's own in this round.
func (l *load) key(workload, name string) string { return l.prefix + workload + "-" + name }
