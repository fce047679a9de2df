package lb

import (
	"errors"
	"io"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// serve takes one request from its first look to its answer.
func (b *Balancer) serve(ctx *fasthttp.RequestCtx) {
	x := b.exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool's New makes nothing else
	x.ctx, x.set, x.start = ctx, b.set.Load(), time.Now()
	b.inFlight.Add(1)
	if ctx.ConnRequestNum() == 1 {
		b.front.use(ctx.Conn())
	}
	if b.prepare(x) {
		b.route(x)
	}
	b.inFlight.Add(-1)
	if b.draining.Load() {
		ctx.SetConnectionClose()
	}
	if !x.streams {
		rec := b.record(x, ctx.Response.StatusCode())
		rec.bytes = int64(len(ctx.Response.Body()))
		b.finish(rec)
	}
	x.reset()
	b.exchanges.Put(x)
}

// prepare reads what is needed to route the request: its head, and its body
// where that is short enough to be kept. It answers what must be refused.
func (b *Balancer) prepare(x *exchange) bool {
	ctx, cfg := x.ctx, &x.set.cfg
	h := &ctx.Request.Header
	if !x.hw.scan(h) {
		refuse(x, &edge.Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Close: true,
			Message: "a header line is not a name, a colon and a value"})
		return false
	}
	target := originForm(h.RequestURI())
	x.isHead = h.IsHead()
	x.class = x.set.routes.classify(h.Method(), target)
	x.readBy = x.start.Add(cfg.ReadTimeout)
	x.holdUntil = x.start.Add(cfg.HoldTimeout)
	if x.class == classRead && x.readBy.Before(x.holdUntil) {
		x.holdUntil = x.readBy
	}

	body := framing{length: h.ContentLength()}
	stream := ctx.RequestBodyStream()
	if body.length > cfg.Limits.BodyBytes {
		refuse(x, edge.FromReadError(fasthttp.ErrBodyTooLarge, cfg.Limits))
		return false
	}
	if stream != nil {
		x.hw.upgrade = nil // a request with a body stays what it is
		if err := x.readBody(stream, body.length); err != nil {
			refuse(x, edge.FromReadError(err, cfg.Limits))
			return false
		}
		if x.stream == nil {
			body.length = len(x.body)
		}
	} else if body.length < 0 && body.length != framingChunked {
		body.length = framingNone
	}
	x.length = body.length
	x.head = x.hw.write(x.head, ctx, target, body, cfg.TrustForwarded)
	if x.stream == nil && len(x.body) <= joinBody {
		x.head = append(x.head, x.body...)
	}
	return true
}

// readBody reads up to BufferBody bytes. Where there is more, it leaves what it
// has read and the rest to be streamed.
func (x *exchange) readBody(stream io.Reader, length int) error {
	cfg := &x.set.cfg
	if length > cfg.BufferBody {
		x.stream = stream
		return nil
	}
	if cap(x.body) == 0 {
		x.body = make([]byte, 0, max(512, min(length, keepBuffer)))
	}
	for {
		if len(x.body) == cap(x.body) {
			x.body = append(x.body, 0)[:len(x.body)]
		}
		n, err := stream.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		switch {
		case len(x.body) > cfg.Limits.BodyBytes:
			return fasthttp.ErrBodyTooLarge
		case err == io.EOF && x.cutShort(length, len(x.body)):
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(x.body) > cfg.BufferBody:
			x.stream = io.MultiReader(&taken{x.body}, stream)
			x.body = nil
			return nil
		}
	}
}

// cutShort says whether a body that ended after n bytes is not whole. The
// server's reader of chunks returns the same io.EOF after the last chunk and
// where the connection ended before it, so a connection that has ended counts as
// the latter: nobody is left to be answered anyway.
func (x *exchange) cutShort(length, n int) bool {
	if length >= 0 {
		return n < length
	}
	return clientLeft(x.ctx.Conn())
}

// taken gives back what was read before it was known that it is too much.
type taken struct{ rest []byte }

func (t *taken) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// route sends the request to backends until one answers for good.
func (b *Balancer) route(x *exchange) {
	be := b.pick(x, b.registry.view.Load())
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
		a := x.send(b.ctx, be, b.attemptBy(x, be), newConn)
		b.learn(x, &a)
		verdict := decide(situation{
			class: x.class, attempt: a,
			whole:  x.stream == nil || !a.sent,
			others: b.alternative(x) != nil,
			time:   time.Now().Before(b.triesEnd(x, a)),
		})
		if verdict == verdictAnswer {
			err := b.deliver(x)
			if err == nil {
				return
			}
			a = x.broke(err)
			a.sent = true
			be.errors.Add(1)
			verdict = decide(situation{class: x.class, attempt: a, whole: x.stream == nil,
				others: b.alternative(x) != nil, time: time.Now().Before(b.triesEnd(x, a))})
		} else if a.end == endAnswered {
			x.discard()
		}
		switch newConn = false; verdict {
		case verdictAgain:
			newConn = true
		case verdictElsewhere:
			be = b.alternative(x)
			x.follow()
		case verdictHold:
			be = nil
		default:
			b.fail(x, a)
			return
		}
		b.retried(verdict)
	}
}

// triesEnd is until when another attempt may begin.
func (b *Balancer) triesEnd(x *exchange, a attempt) time.Time {
	if x.class == classRead {
		return x.readBy // hold has its own end
	}
	return x.holdUntil
}

// attemptBy is until when this attempt's answer must have begun. A read that
// has another backend left to try waits only shortly for this one.
func (b *Balancer) attemptBy(x *exchange, be *backend) time.Time {
	now, cfg := time.Now(), &x.set.cfg
	by := now.Add(cfg.UpstreamTimeout)
	if x.class == classWrite {
		return by
	}
	if x.readBy.Before(by) {
		by = x.readBy
	}
	x.tried = append(x.tried, be)
	if x.stream != nil || x.hw.upgrade != nil || b.registry.view.Load().reader(0, x.tried) == nil {
		return by
	}
	if short := now.Add(cfg.ReadAttemptTimeout); short.Before(by) {
		return short
	}
	return by
}

// pick finds the backend for a request's next attempt, or nil.
func (b *Balancer) pick(x *exchange, v *View) *backend {
	if x.class == classWrite && x.set.cfg.WritePolicy == WriteLeader {
		return v.leader()
	}
	return v.reader(b.turn.Add(1), x.tried)
}

// maxHints bounds how often one request follows nodes that point at each other.
const maxHints = 2

// alternative is where the request could go at once after the attempt before.
func (b *Balancer) alternative(x *exchange) *backend {
	if x.class == classWrite && x.set.cfg.WritePolicy == WriteLeader {
		if x.hint != nil && x.hints < maxHints {
			return x.hint
		}
		return nil
	}
	if x.class == classWrite && !contains(x.tried, x.backend) {
		x.tried = append(x.tried, x.backend)
	}
	return b.registry.view.Load().reader(b.turn.Load(), x.tried)
}

// follow counts a hint as used.
func (x *exchange) follow() {
	if x.hint != nil {
		x.hint, x.hints = nil, x.hints+1
	}
}

// learn tells the registry what an attempt has shown. A connection that could
// not be had takes the backend out until its next report. One that broke only
// asks for a report: a request that makes a backend drop its connection must
// not be able to take it from everyone else.
func (b *Balancer) learn(x *exchange, a *attempt) {
	x.hint = nil
	switch a.end {
	case endUnreachable:
		switch {
		case isRefused(x.err):
			b.registry.doubt(x.backend)
		case !errors.Is(x.err, errPoolBusy):
			b.registry.poke(x.backend)
		}
	case endBroken, endTimedOut:
		b.registry.poke(x.backend)
	case endAnswered:
		if a.status != fasthttp.StatusServiceUnavailable || !x.ans.dengine && a.mark == markNone {
			return
		}
		r := x.peekRefusal()
		switch r.Error {
		case "not_leader", "no_leader", "starting", "shutting_down":
			a.unready = true
		}
		if x.class == classWrite && a.mark == markNotApplied && a.unready {
			if r.Leader != (healthcheck.Leader{}) {
				x.hint = b.registry.view.Load().follow(r.Leader, x.backend)
			}
			b.registry.doubt(x.backend)
		}
	}
}
