package lb

import (
	"context"
	"testing"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

// Whoever waits for a leader is woken by the report that names one, not by its
// next look; a report that changes no route wakes nobody.
func TestReportsWakeThoseWhoWait(t *testing.T) {
	t.Parallel()
	g := newRegistry(context.Background(), DefaultConfig(), zap.NewNop())
	woken := func(v *View) bool {
		select {
		case <-v.changed:
			return true
		default:
			return false
		}
	}
	report := func(i int, primary bool, term, applied uint64) {
		g.observe(g.backends[i], nil, healthcheck.Observation{
			Up: true, Report: healthcheck.Report{Primary: primary, Ready: true, Term: term, Applied: applied},
		})
	}
	waiting := g.view.Load()
	report(0, false, 1, 1)
	if !woken(waiting) {
		t.Error("a new reader woke nobody")
	}
	waiting = g.view.Load()
	report(0, false, 1, 2)
	if woken(waiting) || g.view.Load().changed != waiting.changed {
		t.Error("an applied index woke somebody, or lost those who wait")
	}
	report(1, true, 2, 2)
	if !woken(waiting) || g.view.Load().leader() != g.backends[1] {
		t.Error("a new leader woke nobody")
	}
	waiting = g.view.Load()
	g.doubt(g.backends[1])
	if !woken(waiting) || g.view.Load().leader() != nil || len(g.view.Load().Readers) != 1 {
		t.Error("a leader in doubt is still in")
	}
	report(1, true, 2, 3)
	if g.view.Load().leader() != g.backends[1] {
		t.Error("its next report does not bring it back")
	}
}
