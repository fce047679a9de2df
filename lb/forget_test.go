package lb

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

// A written index is kept for as long as the service may have the write, and no
// longer: a service that was wiped begins with low indexes.
func TestWrittenIndexIsForgottenWithTheService(t *testing.T) {
	t.Parallel()
	type report struct {
		up, leads bool
		commit    uint64
	}
	down := report{}
	far := func(commit uint64) report { return report{up: true, commit: commit} }
	leader := func(commit uint64) report { return report{up: true, leads: true, commit: commit} }
	for name, c := range map[string]struct {
		reports [3]report
		every   time.Duration
		times   int
		want    uint64
	}{
		"all are as far":              {[3]report{leader(100), far(100), far(100)}, time.Second, 5, 100},
		"the leader is":               {[3]report{leader(100), far(9), far(9)}, time.Second, 5, 100},
		"a follower is":               {[3]report{leader(9), far(100), far(9)}, time.Second, 5, 100},
		"nobody is, for a moment":     {[3]report{leader(9), far(9), far(9)}, wipedAfter / 4, 4, 100},
		"nobody is, for a second":     {[3]report{leader(9), far(9), far(9)}, wipedAfter / 4, 5, 0},
		"nobody is, by rare reports":  {[3]report{leader(9), far(9), far(9)}, 10 * time.Second, 1, 100},
		"nobody that is up is":        {[3]report{leader(9), down, far(9)}, time.Second, 2, 0},
		"all are down":                {[3]report{down, down, down}, time.Second, 5, 100},
		"nobody is, and nobody leads": {[3]report{far(9), down, far(9)}, time.Second, 5, 100}, // the only one that has it may be away
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRegistry(context.Background(), DefaultConfig(), zap.NewNop())
				observe := func(reports [3]report) {
					for i, r := range reports {
						o := healthcheck.Observation{Up: r.up}
						if r.up {
							o.Report = healthcheck.Report{Identities: true, Ready: true, Primary: r.leads, Term: 2, Commit: r.commit, Applied: r.commit}
						}
						g.observe(g.backends[i], nil, o)
					}
				}
				observe([3]report{leader(100), far(100), far(100)})
				raise(&g.written.index, 100)
				for i := range c.times {
					if i > 0 {
						time.Sleep(c.every)
					}
					observe(c.reports)
				}
				if kept := g.written.index.Load(); kept != c.want {
					t.Errorf("kept %d, want %d", kept, c.want)
				}
				if reached := g.backends[0].reached.Load(); reached != map[bool]uint64{true: 9, false: 100}[c.want == 0] {
					t.Errorf("the leader is taken to be at %d", reached)
				}
			})
		})
	}
}

// Writes that go on are no sign of a service that was wiped, however far behind
// them the reports are.
func TestWrittenIndexIsKeptWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRegistry(context.Background(), DefaultConfig(), zap.NewNop())
		observe := func(commit uint64) {
			for i, be := range g.backends {
				g.observe(be, nil, healthcheck.Observation{Up: true, Report: healthcheck.Report{Identities: true, Primary: i == 0, Commit: commit}})
			}
			time.Sleep(wipedAfter / 4)
		}
		for index := uint64(100); index < 200; index++ {
			raise(&g.written.index, index)
			observe(index - 50)
			if kept := g.written.index.Load(); kept != index {
				t.Fatalf("kept %d, want %d", kept, index)
			}
		}
		for range 5 { // and now they do not
			observe(7)
		}
		if kept := g.written.index.Load(); kept != 0 {
			t.Errorf("kept %d after the writes have ended", kept)
		}
	})
}

// A node that was away may have less than it had.
func TestNodeThatComesBackIsNotKnownToBeFar(t *testing.T) {
	t.Parallel()
	g := newRegistry(context.Background(), DefaultConfig(), zap.NewNop())
	be := g.backends[0]
	up := func(applied uint64) healthcheck.Observation {
		return healthcheck.Observation{Up: true, Report: healthcheck.Report{Applied: applied}}
	}
	for i, c := range []struct {
		o    healthcheck.Observation
		want uint64
	}{{up(50), 50}, {up(40), 50}, {healthcheck.Observation{}, 50}, {up(7), 7}} {
		g.observe(be, nil, c.o)
		if n := be.reached.Load(); n != c.want {
			t.Errorf("after report %d: %d, want %d", i, n, c.want)
		}
	}
}
