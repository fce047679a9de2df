package lb

import (
	"errors"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// Headers of the contract between balancer and nodes.
const (
	headerOutcome     = "Dengine-Outcome"
	outcomeNotApplied = "not-applied"
	outcomeUnknown    = "unknown"
	headerRetryAfter  = "Retry-After"
	// retryAfter is in seconds: elections take less than one.
	retryAfter = "1"
)

// statusClientLeft is what logs and metrics show for a request whose client did
// not wait for the answer. Nobody is sent it: a client that closed only its
// sending half, which counts as having left, gets a 503.
const statusClientLeft = 499

// stampOutcome says what became of a request that package edge answered.
func stampOutcome(ctx *fasthttp.RequestCtx, handled bool) {
	if (ctx.IsGet() || ctx.IsHead() || ctx.IsOptions()) && !edge.Unread(&ctx.Request.Header) {
		return
	}
	outcome := outcomeNotApplied
	// Where the handler panicked nobody knows where; what a worker has sent may be refused
	// here by settings that are newer.
	if v, ok := ctx.Conn().(*visit); handled || ok && v.handed.Load() != nil {
		outcome = outcomeUnknown
	}
	ctx.Response.Header.Set(headerOutcome, outcome)
}

// refuse answers a request that was never sent to a backend, but perhaps by a worker.
func refuse(x *exchange, p *edge.Problem) {
	p.Write(x.ctx)
	if x.class == classWrite {
		x.setOutcome(attempt{sent: x.handed != nil})
	}
}

// giveUp answers a request that waited in vain. Unless it is in doubt, no byte of
// it is with any backend that may still execute it.
func (b *Balancer) giveUp(x *exchange, w waited) {
	p := &edge.Problem{Status: fasthttp.StatusServiceUnavailable}
	x.left = w == waitLeft
	switch {
	case x.doubt:
		b.failInDoubt(x, &edge.Problem{
			Status: fasthttp.StatusGatewayTimeout, Code: "outcome_unknown", Close: x.left,
			Message: "the leader was lost before it answered, and no other one said what became of the write",
		})
		return
	case w == waitLeft:
		p.Code, p.Close = "client_left", true
		p.Message = "the connection was closed while the request waited: it was not sent; keep both halves open until the answer"
	case w == waitFull:
		p.Code, p.Message = "overloaded", "too many requests wait for a backend already: send the request again later"
	case errors.Is(x.err, errPoolBusy):
		p.Code, p.Message = "overloaded", "all connections to the backend are in use: send the request again later"
	case errors.Is(x.err, errWindowFull):
		p.Code, p.Message = "overloaded", "too many writes are under way: send the request again later"
	case errors.Is(x.err, errLongBusy):
		p.Code, p.Message = "overloaded", "the backend has as many streams as it may have: send the request again later"
	case x.pushback != nil:
		p.Code, p.Message = "overloaded", "the leader refused the write each time: send it again later"
		if x.pushback.code != "" {
			p.Code, p.Message = x.pushback.code, x.pushback.message
		}
	case x.class == classWrite && x.set.cfg.WritePolicy == WriteLeader:
		p.Code, p.Message = "no_leader", "no leader took the write within "+x.set.cfg.HoldTimeout.String()+": it was not applied, send it again"
	default:
		p.Code, p.Message = "no_backend", "no backend could serve the request within "+x.set.cfg.HoldTimeout.String()+": send it again"
	}
	if x.stream != nil && !x.ended {
		p.Close = true // the rest of the body would be taken for the next request
	}
	refuse(x, p)
	x.ctx.Response.Header.Set(headerRetryAfter, retryAfter)
}

// fail answers a request whose last attempt gave no answer.
func (b *Balancer) fail(x *exchange, a attempt) {
	if a.end == endClientLeft {
		edge.FromReadError(x.problem, x.set.cfg.Limits).Write(x.ctx)
		x.setOutcome(a)
		return
	}
	if !a.sent || a.end == endAnswered {
		b.giveUp(x, waitExpired)
		return
	}
	p := &edge.Problem{Status: fasthttp.StatusBadGateway, Code: "upstream_broken",
		Message: "the backend's answer broke off or was not valid HTTP"}
	if a.end == endTimedOut {
		p = &edge.Problem{Status: fasthttp.StatusGatewayTimeout, Code: "upstream_timeout",
			Message: "the backend did not answer in time"}
	}
	if x.doubt {
		b.failInDoubt(x, p)
		return
	}
	if x.stream != nil && !x.ended {
		p.Close = true // the rest of the body would be taken for the next request
	}
	p.Write(x.ctx)
}

// failInDoubt answers a write of which nobody knows whether it was executed.
func (b *Balancer) failInDoubt(x *exchange, p *edge.Problem) {
	b.inDoubt.Add(1)
	p.Message += ": the write may have been applied, look before sending it again"
	p.Close = p.Close || x.stream != nil && !x.ended
	p.Write(x.ctx)
	x.ctx.Response.Header.Set(headerOutcome, outcomeUnknown)
}

func (x *exchange) setOutcome(a attempt) {
	if x.class != classWrite {
		return
	}
	outcome := outcomeNotApplied
	if a.sent {
		outcome = outcomeUnknown
	}
	x.ctx.Response.Header.Set(headerOutcome, outcome)
}
