package chaos

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Setup is one round.
type Setup struct {
	Promise  Promise
	Nemeses  []Fault       // one, or two at once, each in its own time
	Nodes    int           // 3 or 5; 3 where it is 0
	Store    string        // bolt or wal; bolt where it is empty
	Lasts    time.Duration // of the faults; the round is a little longer
	Seed     uint64        // of all that is left to chance
	Load     Profile
	Evidence string // folder in which a failed round leaves one of its own; the system's for temporary files where it is empty
}

// healthy is how long a round goes on before the first fault.
func (s Setup) healthy() time.Duration { return max(500*ms, s.Lasts/12) }

// patience is how long a history may take to judge.
const patience = time.Minute

// bout is how long several nemeses go on before the cluster has to be whole again.
const bout = 10 * time.Second

// snapshots happen all the time: each few hundred entries, with little kept behind.
var snapshots = []string{"--snapshot-threshold", "200", "--snapshot-interval", "500ms", "--trailing-logs", "100"}

// Cluster starts one of three nodes that keeps the promise; see Setup.Cluster.
func Cluster(t harness.T, p Promise) *harness.Cluster {
	t.Helper()
	return Setup{Promise: p}.Cluster(t)
}

// Cluster starts one for the round, with a network that can be hurt.
func (s Setup) Cluster(t harness.T) *harness.Cluster {
	t.Helper()
	s = s.complete() // what Command says is what runs
	args := append(slices.Clone(snapshots), s.Promise.nodeArgs()...)
	args = append(args, "--log-store", s.Store)
	faulty := slices.ContainsFunc(s.Nemeses, func(f Fault) bool { return f.faulty })
	return harness.Start(t, harness.Options{Nodes: s.Nodes, Relays: true, Faults: faulty, NodeArgs: args})
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
	field  *field
	load   *load
	begin  uint64  // term
	leased float64 // reads that nodes answered under a lease, most at once
	leaks  *leakWatch
	done   bool

	mu     sync.Mutex
	events []event
}

// Run runs one round and judges its history. It fails t only where the round
// cannot be run to its end, a cluster that does not come back for example; what the
// verdict means is for others to say. Either way a failed round leaves its evidence.
func Run(t harness.T, c *harness.Cluster, s Setup) Row {
	t.Helper()
	if err := s.Load.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &round{s: s, c: c, field: newField(t, c), load: newLoad(s.Load, s.Promise, fmt.Sprintf("%s-%x-", Names(s.Nemeses), s.Seed))}
	t.Cleanup(func() { r.end(t) })
	r.begin = r.term()
	r.leaks = watchLeaks(c, lookEvery)
	t.Cleanup(r.leaks.stop)
	r.load.start(s.Seed, r.targets())
	harness.Eventually(t, "a load", func() error { return r.load.lacks(s.Load.Keys) })
	before, since := r.load.operations(), time.Now()
	time.Sleep(s.healthy()) // a length of time, as all below: nothing is waited for
	rate := float64(r.load.operations()-before) / time.Since(since).Seconds()
	r.hurt(t)
	r.load.stop()
	r.leaks.stop()
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

// hurt has the nemeses strike. One alone strikes a cluster that is whole, each time;
// of several, each goes on in its own time, so that they meet by chance, and every
// few seconds the cluster has to come back.
func (r *round) hurt(t harness.T) {
	all := make([]*dice, len(r.s.Nemeses))
	for i := range all {
		all[i] = &dice{Rand: random(r.s.Seed, nemesisNumber(i))}
	}
	for end := time.Now().Add(r.s.Lasts); time.Now().Before(end); {
		r.field.whole()
		r.countLeased()
		if len(all) == 1 {
			r.strike(r.s.Nemeses[0], all[0])
			continue
		}
		until := time.Now().Add(min(bout, time.Until(end)))
		var ended atomic.Int32
		var wg sync.WaitGroup
		for i, f := range r.s.Nemeses {
			wg.Go(func() {
				for time.Now().Before(until) {
					r.strike(f, all[i])
				}
				ended.Add(1)
			})
		}
		wg.Wait()
		if int(ended.Load()) < len(all) {
			t.Fatal("a fault could not be caused or healed")
		}
	}
	r.field.whole()
	t.Logf("%s, %s: %d faults, %d operations", r.s.Promise, Names(r.s.Nemeses), len(r.events), r.load.operations())
}

// strike rests, causes a fault, lets it last, and heals it.
func (r *round) strike(f Fault, d *dice) {
	time.Sleep(between(d.Rand, leastRest, mostRest))
	at := r.load.since()
	what, heal := f.strike(r.field, d)
	time.Sleep(between(d.Rand, f.least, f.most))
	heal()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{at, r.load.since() - at, what})
}

// judge gives the verdict, and keeps the evidence where it is bad.
func (r *round) judge(t harness.T, row *Row) {
	key, seen := "", r.field.finding()
	levels, grew := r.leaks.judge()
	row.Levels = levels
	switch f := r.load.check(); {
	case f != nil:
		key, row.Verdict = f.picture(), fmt.Sprintf("%s: %s", f.Key, f.What)
	case seen != "":
		row.Verdict = seen
	case grew != "":
		row.Verdict = grew
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
