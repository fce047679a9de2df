package lb

import (
	"errors"

	"github.com/dengine/dengine/healthcheck"
	"github.com/valyala/fasthttp"
)

// learn tells the registry what an attempt has shown. A connection that could
// not be had takes the backend out until its next report. One that broke only
// asks for a report: a request that makes a backend drop its connection must
// not be able to take it from everyone else.
func (b *Balancer) learn(x *exchange, a *attempt) {
	x.hint, x.pushback = nil, nil
	x.strained = a.sent && a.end != endAnswered && !a.calledOff
	switch a.end {
	case endUnreachable:
		switch {
		case isRefused(x.err):
			b.registry.doubt(x.backend)
		case !errors.Is(x.err, errPoolBusy) && !errors.Is(x.err, errPoolClosed) && !errors.Is(x.err, errPoolLeft):
			b.registry.poke(x.backend)
		}
	case endBroken, endTimedOut:
		if !a.calledOff {
			b.registry.poke(x.backend)
		}
		if x.hung(a, b.registry.view.Load()) {
			x.timeouts++
			x.backend.sideline.strike(x.began, x.answers)
		}
	case endAnswered:
		x.backend.sideline.answered()
		if a.status == fasthttp.StatusConflict && a.mark == markUnknown && x.ticket.session != nil {
			b.learnExpiry(x, a)
			return
		}
		if a.status != fasthttp.StatusServiceUnavailable || !x.ans.dengine && a.mark == markNone {
			return
		}
		r := x.peekRefusal()
		a.unready = r.passes() || x.raised && r.Error == codeBehind
		if x.class != classWrite || a.mark != markNotApplied {
			return
		}
		if !a.unready {
			x.pushback = &pushback{code: r.Error, message: r.Message}
			return
		}
		if r.Leader != (healthcheck.Leader{}) {
			x.hint = b.registry.view.Load().follow(r.Leader, x.backend)
		}
		b.registry.doubt(x.backend)
	}
}

// learnExpiry looks whether a conflict says that the cluster does not know the
// session. The write was not executed then, by this sending.
func (b *Balancer) learnExpiry(x *exchange, a *attempt) {
	if x.peekRefusal().Error != codeSessionUnknown {
		return
	}
	a.expired, a.echoes = true, false
	b.sessions.lost(x.ticket.session)
	if !x.doubt {
		x.unseal() // it takes a number of the next session
	}
}
