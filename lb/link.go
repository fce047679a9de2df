package lb

import (
	"errors"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/edge/loop"
	"github.com/dengine/dengine/internal/edge/poll"
	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

// link is a connection to a backend while a worker has it, lent by the pool. It serves
// one request at a time, or is shared by reads that nodes are asked for: each is sent
// without waiting for the answer before it (RFC 9112, section 9.3.2), all those of one
// turn of the worker together, and answers come in the order of the requests.
//
// Only answers that are plain are taken. At any other, and where the oldest request waits
// for too long, the server gets the connection with that request alone, and reads that
// were behind it ask again.
type link struct {
	w      *worker
	be     *backend
	u      *upstream
	fd     int
	queue  []*seat // to whom answers are owed, in that order; nil: nobody waits for it any more
	asked  int     // how many of queue: the others are sent at the end of the turn
	shared bool
	due    bool   // it is among worker.due
	stuck  bool   // the socket had no room for all that was asked
	in     []byte // what has come of an answer
	out    []byte // what is to be sent
	ended  bool   // the backend sends no more
	since  time.Time
}

// errLinkLeft says that a read left the link it shared without an answer, for no fault
// of the backend's that is known.
var errLinkLeft = errors.New("the connection that several reads shared serves them no more")

// send sends a seat's request over a link that is fit for it, and returns that; nil:
// there is none, and nothing was sent. One that may go with others is sent at the end of
// the turn.
func (w *worker) send(s *seat, be *backend, request []byte, shares bool) *link {
	if shares {
		if l := w.share(be, len(request)); l != nil {
			l.join(s, request)
			return l
		}
	}
	for {
		l := w.take(be)
		if l == nil {
			return nil
		}
		n, err := sock.Send(uintptr(l.fd), request)
		if err != nil && err != unix.EAGAIN {
			l.drop()
			continue
		}
		l.out = append(l.out[:0], request[n:]...)
		l.stuck = n < len(request)
		l.queue, l.asked, l.in, l.since = append(l.queue[:0], s), 1, l.in[:0], w.Now
		return l
	}
}

func (l *link) join(s *seat, request []byte) {
	l.queue = append(l.queue, s)
	l.out = append(l.out, request...)
	if !l.due {
		l.due = true
		l.w.due = append(l.w.due, l)
	}
}

// flush sends what has joined in this turn.
func (w *worker) flush() {
	for _, l := range w.due {
		if l.due = false; l.fd >= 0 && len(l.out) > 0 {
			w.Guard(l, flush)
		}
	}
	clear(w.due)
	w.due = w.due[:0]
	for _, b := range w.loaded {
		b.outbox.Flush(b.some)
	}
	clear(w.loaded)
	w.loaded = w.loaded[:0]
}

func flush(m loop.Member) {
	l := m.(*link) //nolint:forcetypeassert // no others are due
	if l.asked == 0 && !l.w.fit(l) {
		l.fail(errLinkLeft)
		return
	}
	l.since = l.w.Now
	l.sendOut()
}

// sendOut sends what the socket has room for. It says whether the link is still there.
func (l *link) sendOut() bool {
	n, err := sock.Send(uintptr(l.fd), l.out)
	if err != nil && err != unix.EAGAIN {
		l.fail(err)
		return false
	}
	l.stuck = n < len(l.out)
	l.out = append(l.out[:0], l.out[n:]...)
	l.asked = len(l.queue)
	return true
}

// Ready implements loop.Member.
func (l *link) Ready(what uint32) {
	if what&poll.Writable != 0 && l.stuck && !l.sendOut() {
		return
	}
	if what&(poll.Readable|poll.Ended|poll.Broken) == 0 {
		return
	}
	if l.ended = l.ended || what&(poll.Ended|poll.Broken) != 0; l.asked == 0 {
		l.fail(errLinkLeft) // it was closed, or something came unasked
		return
	}
	for {
		n, err := sock.Receive(uintptr(l.fd), l.w.in)
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.fail(err)
			return
		}
		came := l.w.in[:n]
		if len(l.in) > 0 {
			l.in = append(l.in, came...)
			came = l.in
		}
		if l.take(came) || n < len(l.w.in) && !l.ended {
			return
		}
	}
}

// Tick implements loop.Member.
func (l *link) Tick() {
	waited := l.w.Now.Sub(l.since)
	switch {
	case len(l.queue) == 0 && waited >= l.w.b.set.Load().cfg.UpstreamIdleTimeout,
		len(l.queue) > 0 && waited >= lateAnswer && !slices.ContainsFunc(l.queue, func(s *seat) bool { return s != nil }):
		l.drop()
	}
}

// Panicked implements loop.Member.
func (l *link) Panicked() {
	for _, s := range l.end() {
		if s != nil {
			s.close()
		}
	}
}

// forget notes that a seat does not wait for its answer any more.
func (l *link) forget(s *seat) {
	if i := slices.Index(l.queue, s); i >= 0 { // it may have come to its end in a bug
		l.queue[i] = nil
	}
}

// fail ends the connection under all requests on it.
func (l *link) fail(err error) {
	for _, s := range l.end() {
		s.lose(unexpected(err))
	}
}

// end ends the connection, and returns who waits for answers.
func (l *link) end() (queue []*seat) {
	queue, l.queue = l.queue, nil
	l.drop()
	return queue
}

// drop ends the connection.
func (l *link) drop() {
	if fd := l.part(); fd >= 0 {
		_ = unix.Close(fd)
		l.be.pool.drop(l.u)
	}
}

// putBack gives the connection back to the pool.
func (l *link) putBack() {
	if l.be.pool.regain(l.u, l.part()) != nil {
		l.be.pool.drop(l.u)
		return
	}
	l.be.pool.put(l.u)
}

// part takes the connection away from the worker; less than 0: that was done before.
func (l *link) part() (fd int) {
	if fd, l.fd = l.fd, -1; fd < 0 {
		return fd
	}
	l.w.Remove(fd)
	l.unshare()
	st := l.w.stock[l.be]
	st.out--
	st.idle = without(st.idle, l)
	return fd
}

// unshare ends that reads share the link.
func (l *link) unshare() {
	if l.shared {
		st := l.w.stock[l.be]
		l.shared, st.shared = false, without(st.shared, l)
	}
}

func without(links []*link, l *link) []*link {
	if i := slices.Index(links, l); i >= 0 {
		return slices.Delete(links, i, i+1)
	}
	return links
}
