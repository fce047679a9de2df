package chaos

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// brokenNode is a way in which nodes break what they promise, and who must see it.
type brokenNode struct {
	name   string
	env    string  // of all nodes; see node/faults_*.go
	faults []Fault // under which it shows
	seen   []string
}

// brokenNodes are all that there are. Nothing of expiry is read.
func brokenNodes(t *testing.T) []brokenNode {
	t.Helper()
	all := Workloads()
	without := func(workload string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == workload })
	}
	data := without(ofExpiry)
	// A plain write that is executed twice shows in a register only where another came
	// between and a read after: one round of eight found one. The others count.
	doubles := without("registers")
	return []brokenNode{
		{"stale reads", "DENGINE_FAULT_STALE_READS=1", named(t, "two-way"), data},
		{"no fsync", "DENGINE_FAULT_LATE_DISK=1", named(t, "kill-all"), data},
		{"acknowledged before it is committed", "DENGINE_FAULT_EARLY_ACK=1", named(t, "kill"), data},
		{"identities are forgotten", "DENGINE_FAULT_NO_IDENTITIES=1", named(t, "pause"), doubles},
	}
}

const (
	brokenRounds = 3 // in one of which a broken node must be caught
	brokenLasts  = 4 * time.Second
)

// A broken node is caught: one that is not would say nothing of those that are
// whole. All workloads go on at once, as in any round.
func TestBrokenNodesAreCaught(t *testing.T) {
	t.Parallel()
	for _, b := range brokenNodes(t) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			t.Log(b.caught(t, nil))
		})
	}
}

// Each workload that has to do with it catches it alone. That takes minutes: "make
// chaos-broken".
func TestEveryWorkloadCatchesBrokenNodes(t *testing.T) {
	if os.Getenv("DENGINE_CHAOS_BROKEN") == "" {
		t.Skip(`run by "make chaos-broken"`)
	}
	for _, b := range brokenNodes(t) {
		for _, name := range b.seen {
			t.Run(b.name+"/"+name, func(t *testing.T) { t.Log(b.caught(t, []string{name})) })
		}
	}
}

// caught runs rounds until one finds the nodes broken, and returns what was found.
func (b brokenNode) caught(t *testing.T, workloads []string) string {
	t.Helper()
	p := Promise{Level: "linearizable"}
	for n := range brokenRounds {
		c := harness.Start(t, harness.Options{Relays: true, Faults: true, NodeEnv: []string{b.env}, NodeArgs: p.nodeArgs()})
		s := Setup{Promise: p, Nemeses: b.faults, Lasts: brokenLasts, Seed: seed + uint64(n), Load: DefaultProfile(), Evidence: t.TempDir()}
		s.Load.Only = workloads
		if harness.Race {
			s.Load.PerSecond /= 4
		}
		row := Run(t, c, s)
		for _, p := range c.All() {
			p.Kill()
		}
		if row.Verdict != Kept {
			return fmt.Sprintf("round %d of %d operations: %s", n+1, row.Operations, row.Verdict)
		}
	}
	t.Errorf("%s: not seen in %d rounds", b.name, brokenRounds)
	return ""
}

// Sessions do come to an end, and what comes in them then is not executed: a load
// that met none would say nothing of it.
func TestIdentitiesExpire(t *testing.T) {
	t.Parallel()
	p := Promise{Level: "linearizable"}
	c := Cluster(t, p)
	profile := DefaultProfile()
	profile.Only = []string{ofExpiry}
	r := &round{s: Setup{Promise: p, Load: profile}, c: c}
	r.load = newLoad(profile, p, "expiry-")
	t.Cleanup(r.load.stop)
	r.load.start(seed, r.targets())
	harness.Eventually(t, "sessions that are over", func() error {
		over := 0
		r.load.mu.Lock()
		defer r.load.mu.Unlock()
		for _, o := range r.load.ops {
			if o.Kind == Again && o.Result == Failed {
				over++
			}
		}
		if over < 3 {
			return fmt.Errorf("%d of %d operations", over, len(r.load.ops))
		}
		return nil
	})
	r.load.stop()
	r.load.finish(t)
	if f := r.load.check(); f != nil {
		t.Errorf("%+v", f)
	}
}
