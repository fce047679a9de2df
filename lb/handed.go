package lb

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// handed is a plain request that a worker has sent to a backend and does not see through:
// its answer is late, or no plain one, or the connection broke. The server goes on from
// there, as with any attempt of its own: what may have been executed is not sent again.
type handed struct {
	set     *settings
	class   class
	be      *backend
	start   time.Time
	reign   uint64
	answers uint64 // of the backend, before
	err     error  // there will be no answer; the rest is nothing then

	ride    *ride // of a numbered write, that has come to its end
	adopted bool  // its number is the exchange's

	u  *upstream // where the answer will come
	fd int       // its socket, until take
	in []byte    // what has come of the answer
	// behind: other requests were sent after it there.
	behind bool
}

// take gets the connection ready to be read from.
func (h *handed) take() {
	if h == nil || h.u == nil {
		return
	}
	if h.err = h.be.pool.regain(h.u, h.fd); h.err != nil {
		h.be.pool.drop(h.u)
		h.u = nil
		return
	}
	h.fd, h.u.ahead = -1, h.in
}

// drop gives the connection up.
func (h *handed) drop() {
	if h == nil {
		return
	}
	if h.ride != nil && !h.adopted {
		h.ride.drop()
	}
	if h.u == nil {
		return
	}
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
	}
	h.be.pool.drop(h.u)
}

// adopt takes over the number of a write that a worker has sent under one.
func (x *exchange) adopt() {
	if h := x.handed; h != nil && h.ride != nil {
		x.numbered, x.keeps, x.reign = true, true, h.reign
		x.seal(h.ride.ticket)
		h.adopted = true
	}
}

// resume is send for what a worker has sent.
func (x *exchange) resume(g *registry, h *handed, by time.Time) (a attempt) {
	err := h.err
	switch {
	case errors.Is(err, errLinkLeft):
		return x.leave()
	case h.ride != nil:
		x.ride.block = h.ride.block
		return x.arrived(h.ride.of, err)
	}
	if err == nil {
		err = h.u.SetDeadline(by)
	}
	if err != nil {
		a = x.broke(err)
	} else {
		a = x.receive(g, h.u, by, nil)
	}
	a.sent, a.reused = true, true
	switch {
	case a.end != endAnswered:
		h.drop()
	case h.behind && (x.ans.length < 0 || x.ans.length > copyAnswer):
		// A backend that closes before it has read the others resets the connection, and with
		// it goes the end of an answer that streams.
		h.drop()
		x.backend.sharedLeft.Add(1)
		return x.leave()
	default:
		x.conn = h.u
		x.ans.keep = x.ans.keep && !h.behind // their answers would follow
	}
	return a
}

// leave is the attempt of a read that must be sent again.
func (x *exchange) leave() attempt {
	x.err = errLinkLeft
	return attempt{end: endTimedOut, sent: true, calledOff: true, left: true}
}
