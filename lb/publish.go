package lb

import (
	"slices"

	"go.uber.org/zap"
)

// publish makes a View of what is known and wakes whoever waits, where it
// changes the way of a request; the lock is held.
func (g *registry) publish() {
	nodes := make([]Node, len(g.backends))
	for i, be := range g.backends {
		nodes[i] = be.node()
	}
	old := g.view.Load()
	v := newView(nodes, old)
	if sameRoutes(old, v) {
		v.changed = old.changed
		g.view.Store(v)
		return
	}
	g.view.Store(v)
	if old != nil {
		close(old.changed)
		if v.reign != old.reign {
			g.breakOff(v.led)
		}
		if v.leaderAddr() != old.leaderAddr() {
			g.tell(v)
		}
	}
}

// breakOff ends what a new leader makes pointless at all other backends: the
// numbered writes in flight there, which the new leader takes as well, and the
// wait for a connection. So a leader that hangs costs nobody a timeout. The
// lock is held, and the View is published.
func (g *registry) breakOff(leader *backend) {
	for _, be := range slices.Concat(g.backends, g.retired) {
		if be != leader {
			g.brokenOff.Add(be.pool.breakOff())
		}
	}
}

// claim makes a connection one that breakOff breaks, and says whether it is too
// late: another backend leads by now. It must come before the first byte is
// sent. Either breakOff finds the claim, or the claim finds the View that was
// published before.
func (g *registry) claim(u *upstream, be *backend, reign uint64) bool {
	u.breakable.Store(true)
	return claim{g, be, reign}.holds()
}

// claim is what a numbered write rests on that was sent to a backend: that no other
// took the lead since the reign in which it was picked.
type claim struct {
	registry *registry
	be       *backend
	reign    uint64
}

func (c claim) holds() bool {
	v := c.registry.view.Load()
	return v.reign == c.reign || v.led == c.be
}

func (g *registry) tell(v *View) {
	if v.Leader < 0 {
		g.log.Info("no leader")
		return
	}
	g.elections.Add(1)
	n := v.Nodes[v.Leader]
	g.log.Info("leader", zap.String("node", n.ID), zap.String("http", n.HTTP), zap.Uint64("term", n.Term))
}

// doubt takes a backend out until its next report: a request has shown its last
// one to be wrong. A new report is asked for at once.
func (g *registry) doubt(be *backend) {
	g.mu.Lock()
	if !be.suspect {
		be.suspect = true
		g.publish()
	}
	g.mu.Unlock()
	g.poke(be)
}

// poke asks for a new report.
func (g *registry) poke(be *backend) {
	g.mu.Lock()
	w := be.watcher
	g.mu.Unlock()
	if w != nil {
		w.Poke()
	}
}
