package lb

import (
	"errors"
	"time"
)

// ride is a read's part in a lane, or a write's in a bundle. The lane owns it, and the
// answer that it names, until an end comes over done.
type ride struct {
	done  chan rideEnd // has room for one
	since time.Time
	by    time.Time // of a write: its answer must have come
	ans   *answer
	block []byte // the whole answer
}

// rideEnd is what became of a ride: an answer, where it holds nothing.
type rideEnd struct {
	alone  *upstream // where its answer will come, and nobody else's is waited for
	behind bool      // other requests were sent after it there
	err    error
}

// shared says whether reads share connections, by what is known of the backends.
func (c *Config) shared(v *View) bool {
	return c.ShareReads == ShareNodes && (v.dengine || c.shareHard)
}

// shares says whether an attempt may share a connection with others: a read without
// a body or a condition, whose answer's length does not rest on the request. by is
// when it must have been answered, busy how many are under way to the backend.
func (x *exchange) shares(g *registry, be *backend, by time.Time, busy int64) bool {
	cfg := &x.set.cfg
	return cfg.shared(g.view.Load()) && (busy >= shareFrom || cfg.shareHard) && x.lane.since.IsZero() && x.movable() && x.length == framingNone &&
		x.ctx.IsGet() && !x.hw.conditional && by.Sub(x.began) > 2*laneLateMost
}

// ride sends a read over a connection that others use too, once. It says whether
// there was one.
func (x *exchange) ride(g *registry, be *backend, by time.Time) (attempt, bool) {
	r := &x.lane
	if r.done == nil {
		r.done = make(chan rideEnd, 1)
	}
	r.since, r.ans = x.began, &x.ans
	l, flush := be.lanes.join(r, x.head)
	if l == nil {
		r.since = time.Time{}
		return attempt{}, false
	}
	if flush {
		l.flush()
	}
	end := <-r.done
	switch {
	case end.alone != nil:
		return x.alone(g, end, by), true
	case errors.Is(end.err, errLaneLeft):
		return x.leave(), true
	case end.err != nil:
		a := x.broke(end.err)
		a.sent, a.reused = true, true
		return a, true
	}
	x.whole = true
	a := x.answered()
	a.sent, a.reused = true, true
	return a, true
}

// alone waits for the answer on a connection that others have left, which serves
// nobody else after it: their answers would follow.
//
// An answer that would stream to the client is asked for again where others were
// sent after it: a backend that closes before it has read those resets the connection,
// and with it goes the end of the answer.
func (x *exchange) alone(g *registry, end rideEnd, by time.Time) attempt {
	u := end.alone
	err := x.awaitHead(g, u, by)
	if err != nil {
		x.backend.pool.drop(u)
		a := x.broke(err)
		a.sent, a.reused = true, true
		return a
	}
	if end.behind && (x.ans.length < 0 || x.ans.length > copyAnswer) {
		x.backend.pool.drop(u)
		x.backend.lanes.left.Add(1)
		return x.leave()
	}
	x.conn, x.ans.keep = u, false
	a := x.answered()
	a.sent, a.reused = true, true
	return a
}

// leave is the attempt of a read that must be sent again.
func (x *exchange) leave() attempt {
	x.err = errLaneLeft
	return attempt{end: endTimedOut, sent: true, calledOff: true, left: true}
}
