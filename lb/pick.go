package lb

import "slices"

// pick finds the backend for a request's next attempt, or nil.
func (b *Balancer) pick(x *exchange, v *View) *backend {
	if !x.leaderOnly() {
		return v.reader(b.turn.Add(1), x.minIndex, x.tried)
	}
	return x.aim(v.leader(), v)
}

// leaderOnly says whether nobody but the leader may get the request.
func (x *exchange) leaderOnly() bool {
	return x.class == classWrite && x.set.cfg.WritePolicy == WriteLeader
}

// aim notes what v says of the backend that a request goes to next. It is none
// for a write in doubt that be would execute once more.
func (x *exchange) aim(be *backend, v *View) *backend {
	x.keeps, x.reign = x.numbered && v.keeps(be), v.reign
	if x.doubt && !x.keeps {
		return nil
	}
	return be
}

// maxHints bounds how often one request follows nodes that point at each other.
const maxHints = 2

// alternative is where the request could go at once after the attempt before.
func (b *Balancer) alternative(x *exchange) *backend {
	if x.leaderOnly() {
		if x.hint != nil && x.hints < maxHints && (!x.doubt || b.registry.view.Load().keeps(x.hint)) {
			return x.hint
		}
		return nil
	}
	if x.class == classWrite && !slices.Contains(x.tried, x.backend) {
		x.tried = append(x.tried, x.backend)
	}
	return b.registry.view.Load().reader(b.turn.Load(), x.minIndex, x.tried)
}

// follow counts a hint as used.
func (x *exchange) follow() {
	if x.hint != nil {
		x.hint, x.hints = nil, x.hints+1
	}
}
