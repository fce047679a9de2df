package chaos

import (
	"fmt"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Setup is one round.
type Setup struct {
	Promise  Promise
	Fault    Fault
	Lasts    time.Duration // of the faults; the round is a little longer
	Seed     uint64        // of all that is left to chance
	Load     Profile
	Evidence string // folder in which a failed round leaves one of its own; the system's for temporary files where it is empty
}

// healthy is how long a round goes on before the first fault.
func (s Setup) healthy() time.Duration { return max(time.Second, s.Lasts/12) }

// patience is how long a history may take to judge.
const patience = time.Minute

// Cluster starts one that keeps the promise, with a network that can be cut.
func Cluster(t harness.T, p Promise) *harness.Cluster {
	t.Helper()
	return harness.Start(t, harness.Options{Relays: true, NodeArgs: p.nodeArgs()})
}

// event is a fault that was caused.
type event struct {
	At   time.Duration `json:"at_ns"`
	For  time.Duration `json:"for_ns"` // until it was healed; the cluster may have taken longer
	What string        `json:"what"`
}

// round is one under way.
type round struct {
	s      Setup
	c      *harness.Cluster
	load   *load
	begin  uint64  // term
	leased float64 // reads that nodes answered under a lease, most at once
	events []event
	done   bool
}

// Run runs one round and judges its history. It fails t only where the round
// cannot be run to its end, a cluster that does not come back for example; what the
// verdict means is for others to say. Either way a failed round leaves its evidence.
func Run(t harness.T, c *harness.Cluster, s Setup) Row {
	t.Helper()
	if err := s.Load.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &round{s: s, c: c, load: newLoad(s.Load, s.Promise, fmt.Sprintf("%s-%x-", s.Fault.Name, s.Seed))}
	t.Cleanup(func() { r.end(t) })
	r.begin = r.term()
	r.load.start(s.Seed, r.targets())
	harness.Eventually(t, "a load", func() error { return r.load.lacks(s.Load.Keys) })
	before, since := r.load.operations(), time.Now()
	time.Sleep(s.healthy()) // a length of time, as all below: nothing is waited for
	rate := float64(r.load.operations()-before) / time.Since(since).Seconds()
	r.hurt(t)
	r.load.stop()
	r.load.finish(t)
	row := r.row(rate)
	r.judge(t, &row)
	r.done = true
	return row
}

// targets are the balancer and every node. Clients reach nodes past the relays:
// who is cut off from the others can still be asked.
func (r *round) targets() []target {
	out := []target{{"lb", r.c.Front, r.s.Load.Balancer}}
	for _, p := range r.c.Nodes {
		out = append(out, target{p.Name, p.HTTP, r.s.Load.Direct})
	}
	return out
}

// hurt causes one fault after the other, each on a cluster that is whole.
func (r *round) hurt(t harness.T) {
	d, f := &dice{Rand: random(r.s.Seed, 0)}, r.s.Fault // clients begin with 1
	for end := time.Now().Add(r.s.Lasts); time.Now().Before(end); {
		r.c.WaitReady()
		r.countLeased()
		time.Sleep(between(d.Rand, leastRest, mostRest))
		at := r.load.since()
		what, heal := f.strike(r.c, d)
		time.Sleep(between(d.Rand, f.least, f.most))
		heal()
		r.events = append(r.events, event{at, r.load.since() - at, what})
	}
	r.c.WaitReady()
	t.Logf("%s, %s: %d faults, %d operations", r.s.Promise, f.Name, len(r.events), r.load.operations())
}

// judge gives the verdict, and keeps the evidence where it is bad.
func (r *round) judge(t harness.T, row *Row) {
	key := ""
	switch f := r.load.check(); {
	case f != nil:
		key, row.Verdict = f.picture(), fmt.Sprintf("%s: %s", f.Key, f.What)
	case r.s.Promise.Level == "lease" && r.leased == 0:
		row.Verdict = "no read was answered under a lease: nothing was tried"
	default:
		row.Verdict = Kept
		return
	}
	row.Evidence = r.keep(t, row.Verdict, key)
}

// end keeps the evidence of a round that did not come to its end.
func (r *round) end(t harness.T) {
	r.load.stop()
	if !r.done && t.Failed() {
		r.keep(t, "the round did not come to its end", "")
	}
}

// countLeased looks how many reads were answered under a lease. Nodes count from
// their start, and may be killed at any time after.
func (r *round) countLeased() {
	sum := 0.0
	for _, p := range r.c.Nodes {
		if n, err := r.c.Metric(p, "dengine_node_reads_leased_total"); err == nil {
			sum += n
		}
	}
	r.leased = max(r.leased, sum)
}

// term is the newest that a node knows.
func (r *round) term() uint64 {
	newest := uint64(0)
	for _, p := range r.c.Nodes {
		if report, err := r.c.Role(p); err == nil {
			newest = max(newest, report.Term)
		}
	}
	return newest
}
