package launcher

import (
	"context"
	"sync"
	"time"
)

// tickEach is how often the tracker may tell what waited in vain.
const tickEach = 50 * time.Millisecond

// monitor gives the tracker the time of things, one at a time, and passes on
// what it wants told. tell must not block.
type monitor struct {
	mu      sync.Mutex
	tracker *tracker
	tell    func(Event)
	muted   bool
	changed chan struct{} // closed at the next change of anything
}

func newMonitor(ids []string, tell func(Event)) *monitor {
	return &monitor{tracker: newTracker(ids), tell: tell, changed: make(chan struct{})}
}

// with runs one call of the tracker.
func (m *monitor) with(f func(t *tracker, now time.Time) []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := f(m.tracker, time.Now())
	if !m.muted {
		for _, e := range events {
			m.tell(e)
		}
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// mute ends all news: everything is about to be stopped.
func (m *monitor) mute() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.muted = true
}

// views returns a copy of what is known, and a channel that is closed when it
// is no longer all.
func (m *monitor) views() ([]view, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]view, len(m.tracker.nodes))
	for i, n := range m.tracker.nodes {
		out[i] = *n
	}
	return out, m.changed
}

// leader is the node that takes writes now, "" if none.
func (m *monitor) leader() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if best := m.tracker.best(); best != nil {
		return best.id
	}
	return ""
}

// await returns when ok says so of what is known, or with ctx's cause.
func (m *monitor) await(ctx context.Context, ok func([]view) bool) error {
	for {
		views, changed := m.views()
		if ok(views) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run ticks until ctx ends.
func (m *monitor) run(ctx context.Context) {
	tick := time.NewTicker(tickEach)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			m.with(func(t *tracker, _ time.Time) []Event { return t.tick(now) })
		case <-ctx.Done():
			return
		}
	}
}
