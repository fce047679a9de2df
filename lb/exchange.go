package lb

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// joinBody is up to which size a body is sent in one write with its head.
	joinBody = 16 << 10
	// copyAnswer is up to which size an answer is read whole, so that the
	// connection to the backend is free before the client has it all.
	copyAnswer = 64 << 10
	// keepBuffer is the largest buffer that waits for the next request.
	keepBuffer = 256 << 10
	// earlyAnswer is how long to look for the answer of a backend that stopped
	// reading the request.
	earlyAnswer = 100 * time.Millisecond
)

// exchange is one client's request on its way. It is used again for others.
type exchange struct {
	ctx *fasthttp.RequestCtx
	set *settings

	class  class
	isHead bool
	hw     headWriter
	head   []byte // as backends get it
	body   []byte // read whole; nil where stream is set
	stream io.Reader
	length int  // of the stream: bytes, or framingChunked
	ended  bool // the stream was sent to its end

	conn     *upstream
	ans      answer
	ride     ride     // of a numbered write
	whole    bool     // the answer is all in ride.block
	hint     *backend // where the last refusal pointed
	hints    int      // how many were followed
	tried    []*backend
	buf      []byte // for streaming
	err      error  // of the last attempt
	problem  error  // of reading the client's body
	attempts int
	timeouts int // attempts of a read that took too long
	holds    int
	began    time.Time // the last attempt
	answers  uint64    // that the backend of a read had given before
	handed   *handed   // the attempt that a worker began; nil: there is none
	// strained: the last attempt broke, or timed out, after it was sent.
	strained bool
	minIndex uint64 // that a read asks for; 0: none
	raised   bool   // not by its client

	headEnd  int    // where head ends, apart from the empty line
	numbered bool   // it may carry a number
	keeps    bool   // the backend picked last keeps identities
	reign    uint64 // when it was picked, or a read's attempt began
	ticket   ticket // without a session: it has no number
	sealed   int    // bytes of head that its identity takes
	// doubt: it may have been executed, and no answer has said so under its number.
	doubt    bool
	extended bool // its hold time began anew with the doubt

	streams  bool      // the answer is still under way when the handler returns
	left     bool      // the client did not wait
	charged  int       // of Balancer.buffered
	long     *backend  // whose share of long exchanges this one is part of
	pushback *pushback // the last attempt's, if it was one

	start     time.Time
	readBy    time.Time // end of all attempts of a read
	holdUntil time.Time
	held      time.Duration
	backend   *backend // of the last attempt
}

// reset makes x ready for another request.
func (x *exchange) reset() {
	head, body, tried, hw, buf, conn := x.head[:0], x.body[:0], x.tried[:0], x.hw, x.buf, x.ans.conn
	aboard := ride{done: x.ride.done, block: x.ride.block[:0]}
	if cap(body) > keepBuffer {
		body = nil
	}
	clear(x.tried)
	conn.reset()
	*x = exchange{head: head, body: body, tried: tried, hw: hw, buf: buf, ans: answer{conn: conn}, ride: aboard}
}

// send tries one backend, until the head of its answer is there. On endAnswered
// x.conn and x.ans hold the answer.
func (x *exchange) send(ctx context.Context, g *registry, be *backend, by time.Time, newConn bool) (a attempt) {
	x.attempts++
	x.backend, x.err, x.whole = be, nil, false
	h := x.handed
	x.handed = nil
	if h == nil {
		be.requests.Add(1) // else the worker did
	}
	busy := be.busy.Add(1)
	defer func() {
		be.busy.Add(-1)
		if !a.left && a.end != endAnswered && a.end != endClientLeft && a.end != endFull {
			be.errors.Add(1)
		}
	}()
	if h != nil {
		return x.resume(g, h, by)
	}
	x.endLong()
	if (x.stream != nil || x.hw.upgrade != nil) && !x.beginLong(be) {
		x.err = errLongBusy
		return attempt{end: endFull}
	}
	if x.bundles(busy) {
		if a, ok := x.bundled(g, be, by); ok {
			return a
		}
	}
	connectBy := x.began.Add(x.set.cfg.ConnectTimeout)
	if by.Before(connectBy) {
		connectBy = by
	}
	for {
		u, err := be.pool.next(ctx, connectBy, newConn)
		if err != nil {
			x.err = err
			return attempt{end: endUnreachable}
		}
		if x.ticket.session != nil && !g.claim(u, be, x.reign) {
			be.pool.put(u)
			x.err = errPoolLeft
			return attempt{end: endUnreachable}
		}
		a = x.exchange(g, u, by)
		a.sent, a.reused = u.wrote, u.used
		if a.end == endAnswered {
			x.conn = u
			return a
		}
		be.pool.drop(u)
		if !errors.Is(x.err, errStale) {
			return a
		}
		x.err = nil
	}
}

func (x *exchange) exchange(g *registry, u *upstream, by time.Time) attempt {
	if err := u.SetDeadline(by); err != nil {
		return x.broke(err)
	}
	err := x.write(u)
	if x.problem != nil {
		x.err = x.problem
		return attempt{end: endClientLeft}
	}
	if err != nil && !u.wrote {
		return x.broke(err)
	}
	return x.receive(g, u, by, err)
}

// receive waits for the head of the answer. err is that of sending the request.
func (x *exchange) receive(g *registry, u *upstream, by time.Time, err error) attempt {
	// A backend may answer without reading all of the body: what it said is
	// still there to be read, and must be there by now.
	switch {
	case err != nil:
		if err := u.SetDeadline(time.Now().Add(earlyAnswer)); err != nil {
			return x.broke(err)
		}
	case x.stream != nil:
		if err := u.SetDeadline(time.Now().Add(x.set.cfg.UpstreamTimeout)); err != nil {
			return x.broke(err)
		}
	}
	var errRead error
	if err == nil && x.movable() {
		errRead = x.awaitHead(g, u, by)
	} else {
		errRead = x.ans.read(u.r, x.isHead, x.hw.upgrade != nil)
	}
	switch {
	case errRead != nil && err != nil:
		return x.broke(err)
	case errRead != nil:
		return x.broke(errRead)
	}
	if err != nil || (x.stream != nil && !x.ended) {
		x.ans.keep = false
	}
	return x.answered()
}

// answered is the attempt that brought x.ans.
func (x *exchange) answered() attempt {
	return attempt{
		end: endAnswered, status: x.ans.status, mark: x.ans.mark,
		echoes: x.ticket.session != nil && x.ans.sequence == x.ticket.number,
	}
}

func (x *exchange) broke(err error) attempt {
	x.err = err
	if calledOff := errors.Is(err, errCalledOff); calledOff || errors.Is(err, os.ErrDeadlineExceeded) {
		return attempt{end: endTimedOut, calledOff: calledOff}
	}
	return attempt{end: endBroken}
}

// discard throws the answer on x.conn away, keeping the connection where the
// body is short. It returns the body where it read it.
func (x *exchange) discard() []byte {
	u, be := x.conn, x.backend
	x.conn = nil
	if u == nil { // it came with others
		return nil
	}
	if !x.ans.keep || x.ans.length < 0 || x.ans.size+x.ans.length > u.r.Size() {
		be.pool.drop(u)
		return nil
	}
	block, err := u.r.Peek(x.ans.size + x.ans.length)
	if err != nil {
		be.pool.drop(u)
		return nil
	}
	body := append([]byte(nil), block[x.ans.size:]...)
	if _, err := u.r.Discard(len(block)); err != nil || u.r.Buffered() > 0 {
		be.pool.drop(u)
		return body
	}
	be.pool.put(u)
	return body
}
