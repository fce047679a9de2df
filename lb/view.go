package lb

import (
	"slices"

	"github.com/dengine/dengine/healthcheck"
)

// Node is what the balancer knows of one backend at one moment.
type Node struct {
	ID      string
	HTTP    string
	Health  string
	Up      bool // answers its checks
	Ready   bool // can serve reads
	Primary bool // says that it takes writes
	Role    healthcheck.Role
	Term    uint64
	Applied uint64
	// Identities says that it executes a write that carries an identity once.
	Identities bool
	// Suspect says that a request has shown the last report to be wrong: the
	// backend refused a write as not the leader, or refused the connection. It
	// is out until its next report.
	Suspect bool

	backend *backend
}

// View is an immutable picture of all backends. Requests are routed by the
// newest one.
type View struct {
	Nodes   []Node
	Leader  int    // index in Nodes; -1: none is known
	Term    uint64 // highest of any leader so far
	Readers []int  // indexes in Nodes of those that can serve reads

	led   *backend // the last one that led, whether or not it does now
	young bool     // the leader has just been elected, and does not say yet that it takes writes
	reign uint64   // how often led has changed

	// dengine: the backends are dengine nodes, as far as they have said.
	dengine bool

	// changed is closed once a View that routes otherwise was published.
	changed chan struct{}
}

// newView works out who leads and who reads. The leader of the old view, if
// any, stays among several that claim to lead in the same term (services that
// know no terms all claim term 0). One of an older term than the old view's is
// none, as long as anyone is up that has seen that term.
func newView(nodes []Node, old *View) *View {
	var term uint64
	if old != nil && slices.ContainsFunc(nodes, func(n Node) bool { return n.Up && n.Term >= old.Term }) {
		term = old.Term
	}
	v := &View{
		Nodes: nodes, Leader: leaderOf(nodes, old.leaderAddr(), term), Term: term,
		dengine: areNodes(nodes, old), changed: make(chan struct{}),
	}
	if i := elected(nodes, old); i >= 0 && (v.Leader < 0 || nodes[i].Term > nodes[v.Leader].Term) {
		v.Leader, v.young = i, true
	}
	if v.Leader >= 0 {
		v.Term = nodes[v.Leader].Term
	}
	v.succeed(old)
	for i, n := range nodes {
		if n.Up && n.Ready && !n.Suspect && !v.deposed(n) {
			v.Readers = append(v.Readers, i)
		}
	}
	return v
}

// deposed says that a backend goes on claiming to lead though another does in a
// newer term. It hangs, or is cut off from the others.
func (v *View) deposed(n Node) bool { return n.Primary && n.Term < v.Term }

// areNodes says whether all backends that are up are dengine nodes. One that is
// starting, or must not take part, does not say yet; while none says anything, it
// is as it was.
func areNodes(nodes []Node, old *View) bool {
	said := false
	for _, n := range nodes {
		switch {
		case !n.Up, n.Role == healthcheck.RoleStarting, n.Role == healthcheck.RoleStopped:
		case !n.Identities:
			return false
		default:
			said = true
		}
	}
	return said || old != nil && old.dengine
}

// succeed counts reigns. A backend that is elected again only goes on with its
// own: what is in flight to it may still be answered.
func (v *View) succeed(old *View) {
	if old != nil {
		v.led, v.reign = old.led, old.reign
	}
	if be := v.leader(); be != nil && be != v.led {
		v.led, v.reign = be, v.reign+1
	}
}

// leaderOf picks the one with the highest term, from floor on, of those that
// say they lead; previous is the address of the one so far.
func leaderOf(nodes []Node, previous string, floor uint64) int {
	best := -1
	for i, n := range nodes {
		if !n.Up || !n.Primary || n.Suspect || n.Term < floor {
			continue
		}
		if best < 0 || n.Term > nodes[best].Term || (n.Term == nodes[best].Term && n.HTTP == previous) {
			best = i
		}
	}
	return best
}

// elected finds a leader that a majority has elected since the old view, and that
// does not claim the writes yet: it has still to commit the first entry of its
// term. Writes with a number may go to it at once, and into the log behind that
// entry. It stays until it claims them, or is no leader any more.
func elected(nodes []Node, old *View) int {
	if old == nil || old.Term == 0 {
		return -1 // an old leader that nobody follows could look like a new one
	}
	best := -1
	for i, n := range nodes {
		since := n.Term > old.Term || (n.Term == old.Term && old.young && n.backend == old.leader())
		if since && n.Up && !n.Suspect && !n.Primary && n.Identities && n.Role == healthcheck.RoleLeader &&
			(best < 0 || n.Term > nodes[best].Term) {
			best = i
		}
	}
	return best
}

// sameRoutes says whether requests go the same ways in both views.
func sameRoutes(a, b *View) bool {
	if a == nil || len(a.Readers) != len(b.Readers) || a.leader() != b.leader() || a.young != b.young {
		return false
	}
	for i, r := range a.Readers {
		if a.Nodes[r].backend != b.Nodes[b.Readers[i]].backend {
			return false
		}
	}
	return true
}

// leader is the backend that takes writes, or nil.
func (v *View) leader() *backend {
	if v.Leader < 0 {
		return nil
	}
	return v.Nodes[v.Leader].backend
}

// keeps says whether a backend keeps the identities of writes.
func (v *View) keeps(be *backend) bool {
	return slices.ContainsFunc(v.Nodes, func(n Node) bool { return n.backend == be && n.Up && n.Identities })
}

// leaderAddr is its HTTP address, or "".
func (v *View) leaderAddr() string {
	if v == nil || v.Leader < 0 {
		return ""
	}
	return v.Nodes[v.Leader].HTTP
}

// follow resolves a leader hint that refuser gave: a backend that is up, known
// by its HTTP address or else by its id, and not of an older term.
func (v *View) follow(hint healthcheck.Leader, refuser *backend) *backend {
	var term uint64
	for _, n := range v.Nodes {
		if n.backend == refuser {
			term = n.Term
		}
	}
	match := func(same func(Node) bool) *backend {
		for _, n := range v.Nodes {
			if same(n) && n.Up && n.Term >= term && n.backend != refuser {
				return n.backend
			}
		}
		return nil
	}
	if hint.HTTP != "" {
		if be := match(func(n Node) bool { return n.HTTP == hint.HTTP }); be != nil {
			return be
		}
	}
	if hint.ID == "" {
		return nil
	}
	return match(func(n Node) bool { return n.ID == hint.ID })
}
