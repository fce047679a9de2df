package lb

import (
	"bytes"
	"errors"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// serve takes one request from its first look to its answer.
func (b *Balancer) serve(ctx *fasthttp.RequestCtx) {
	x := b.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool's New makes nothing else
	x.ctx, x.set, x.start = ctx, b.set.Load(), time.Now()
	v, _ := ctx.Conn().(*visit)
	if v != nil {
		v.plain = false
		if h := v.handed.Swap(nil); h != nil {
			x.handed, x.set, x.start = h, h.set, h.start
		}
	}
	b.inFlight.Add(1) // finish counts it out
	clean := false
	defer func() {
		if !clean { // a panic, which the server answers
			b.abandon(x)
		}
	}()
	if ctx.ConnRequestNum() == 1 {
		b.front.use(ctx.Conn())
	}
	if b.prepare(x) {
		b.route(x)
	}
	if b.draining.Load() {
		ctx.SetConnectionClose()
	}
	if !x.streams {
		status := ctx.Response.StatusCode()
		if x.left {
			status = statusClientLeft
		}
		rec := b.record(x, status)
		rec.bytes = int64(len(ctx.Response.Body()))
		b.finish(rec)
	}
	clean = true
	if v != nil {
		v.plain = b.plain(x)
	}
	b.release(x)
	x.reset()
	b.exchanges.Put(x)
}

// release gives back what the request took of the balancer's budgets.
func (b *Balancer) release(x *exchange) {
	x.handed.drop()
	x.finishNumber()
	b.buffered.Add(-int64(x.charged))
	x.charged = 0
	x.endLong()
}

// abandon clears up after an exchange that will not come to its end. It is not
// used again: nobody knows its state.
func (b *Balancer) abandon(x *exchange) {
	b.release(x)
	if x.conn != nil {
		x.backend.pool.drop(x.conn)
	}
	if !x.streams {
		b.finish(b.record(x, fasthttp.StatusInternalServerError))
	}
}

// prepare reads what is needed to route the request: its head, and its body
// where that is short enough to be kept. It answers what must be refused.
func (b *Balancer) prepare(x *exchange) bool {
	ctx, cfg := x.ctx, &x.set.cfg
	h := &ctx.Request.Header
	target := originForm(h.RequestURI())
	x.isHead = h.IsHead()
	x.class = x.set.routes.classify(h.Method(), target, b.registry.view.Load().dengine)
	if x.handed != nil {
		x.class = x.handed.class
	}
	if why := x.hw.scan(h); why != "" {
		refuse(x, &edge.Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Close: true, Message: why})
		return false
	}
	if bytes.HasPrefix(target, ownPath) {
		x.hw.upgrade = nil // between the balancer and nodes alone
	}
	x.readBy = x.start.Add(cfg.ReadTimeout)
	x.holdUntil = x.start.Add(cfg.HoldTimeout)
	if x.class == classRead && x.readBy.Before(x.holdUntil) {
		x.holdUntil = x.readBy
	}

	length := h.ContentLength()
	stream := ctx.RequestBodyStream()
	if length > cfg.Limits.BodyBytes {
		refuse(x, edge.FromReadError(fasthttp.ErrBodyTooLarge, cfg.Limits))
		return false
	}
	if stream != nil {
		x.hw.upgrade = nil // a request with a body stays what it is
		switch err := b.readBody(x, stream, length); {
		case errors.Is(err, errBufferFull):
			x.discardBody(stream)
			refuse(x, &edge.Problem{Status: fasthttp.StatusServiceUnavailable, Code: "overloaded", Close: true,
				Message: "the balancer keeps as many request bodies as it may: send the request again later"})
			ctx.Response.Header.Set(headerRetryAfter, retryAfter)
			return false
		case err != nil:
			refuse(x, edge.FromReadError(err, cfg.Limits))
			return false
		}
		if x.stream == nil {
			length = len(x.body)
		}
	} else if length < 0 && length != framingChunked {
		length = framingNone
	}
	x.length = length
	x.numbered = x.handed == nil && x.mayNumber(target)
	b.seeWrites(x)
	head := x.hw.headOf(ctx, target)
	x.head = x.hw.write(x.head, &head, length, cfg.TrustForwarded)
	x.headEnd = len(x.head) - len("\r\n")
	x.adopt()
	if x.stream == nil && len(x.body) <= joinBody {
		x.head = append(x.head, x.body...)
	}
	return true
}

// route sends the request to backends until one answers for good.
func (b *Balancer) route(x *exchange) {
	var be *backend
	if x.handed != nil {
		be = x.handed.be
	} else {
		be = b.pick(x, b.registry.view.Load())
	}
	newConn := false
	for {
		if be == nil {
			var w waited
			if be, w = b.hold(x); w != waitReady {
				b.giveUp(x, w)
				return
			}
			newConn = false
		}
		if w := b.identify(x); w != waitReady {
			b.giveUp(x, w)
			return
		}
		if x.doubt {
			b.replays.Add(1)
		}
		a := x.send(b.ctx, b.registry, be, b.attemptBy(x, be), newConn)
		b.learn(x, &a)
		verdict := b.judge(x, a)
		if verdict == verdictAnswer {
			err := b.deliver(x)
			if err == nil {
				return
			}
			a = x.broke(err)
			a.sent = true
			be.errors.Add(1)
			verdict = b.judge(x, a)
		} else if a.end == endAnswered {
			x.discard()
		}
		if x.class == classWrite && (verdict == verdictAgain || verdict == verdictElsewhere) {
			if w := b.stays(x); w != waitReady {
				b.giveUp(x, w)
				return
			}
		}
		switch newConn = false; verdict {
		case verdictAgain:
			newConn = !a.left
		case verdictElsewhere:
			be = x.aim(b.alternative(x), b.registry.view.Load())
			x.follow()
		case verdictHold:
			x.unseal() // nothing under this number is or will be executed: the window need not wait for it
			be = nil
		case verdictReplay:
			be = nil
		default:
			b.fail(x, a)
			return
		}
		b.retried(verdict)
	}
}

// judge says what follows an attempt, and whether the write is in doubt now.
func (b *Balancer) judge(x *exchange, a attempt) verdict {
	s := situation{
		class: x.class, attempt: a,
		whole: x.stream == nil || !a.sent, waited: x.holds > 0,
		identity: x.ticket.session != nil, doubt: x.doubt,
	}
	x.doubt = s.inDoubt()
	if s.stands() {
		return verdictAnswer
	}
	if x.doubt && !s.doubt {
		b.doubts.Add(1)
	}
	if x.doubt && a.uncertain() && x.ticket.session != nil && a.end != endTimedOut && !x.extended {
		// It begins to wait for a leader only now; once, or a backend that
		// breaks every answer would have it for ever.
		x.holdUntil, x.extended = time.Now().Add(x.set.cfg.HoldTimeout), true
	}
	s.others = b.alternative(x) != nil
	s.time = time.Now().Before(b.triesEnd(x, a))
	return decide(s)
}

// triesEnd is until when another attempt may begin.
func (b *Balancer) triesEnd(x *exchange, a attempt) time.Time {
	if x.class == classRead {
		return x.readBy // hold has its own end
	}
	return x.holdUntil
}

// attemptBy is until when this attempt's answer must have begun. A read waits only
// shortly for a backend, as long as others may do better: also such as cannot
// serve at this moment, since a node that hangs may be the one that they all
// waited for. Once it has waited for as many as there are, it takes its time.
func (b *Balancer) attemptBy(x *exchange, be *backend) time.Time {
	now, cfg := time.Now(), &x.set.cfg
	if x.handed != nil {
		now = x.handed.start
	}
	x.began = now
	by := now.Add(cfg.UpstreamTimeout)
	if x.class == classWrite {
		// One that can be asked for again is, once, while there is time to.
		if left := x.holdUntil.Sub(now); x.ticket.session != nil && !x.doubt && left > cfg.HoldTimeout/2 && now.Add(left/2).Before(by) { // see firstSending
			return now.Add(left / 2)
		}
		return by
	}
	if x.readBy.Before(by) {
		by = x.readBy
	}
	x.tried = append(x.tried, be)
	v := b.registry.view.Load()
	x.answers, x.reign = be.sideline.visit(), v.reign
	if h := x.handed; h != nil {
		x.answers, x.reign = h.answers, h.reign
	}
	if !x.movable() || x.timeouts >= len(v.Nodes)-1 {
		return by
	}
	if short := now.Add(cfg.ReadAttemptTimeout); short.Before(by) {
		return short
	}
	return by
}
