package lb

import (
	"bytes"
	"os"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/edge/poll"
	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// link is a connection to a backend while a worker has it, lent by the pool. It serves
// one request at a time.
type link struct {
	w     *worker
	be    *backend
	u     *upstream
	fd    int
	asked bool   // an answer is owed
	seat  *seat  // whose; nil: nobody waits for it any more
	in    []byte // what has come of it
	rest  []byte // of the request, for which the socket had no room
	ended bool   // the backend sends no more
	since time.Time
}

// stock is a worker's links to one backend.
type stock struct {
	idle []*link // the one used last is used next
	out  int     // all of them
}

// link finds an idle link, or borrows one; nil: the pool has none to lend.
func (w *worker) link(be *backend) *link {
	st := w.stock[be]
	if st == nil {
		st = &stock{}
		w.stock[be] = st
	}
	if n := len(st.idle); n > 0 {
		l := st.idle[n-1]
		st.idle = st.idle[:n-1]
		return l
	}
	u, fd := be.pool.lend()
	if u == nil {
		return nil
	}
	l := &link{w: w, be: be, u: u, fd: fd}
	if w.add(fd, l) != nil {
		_ = unix.Close(fd)
		be.pool.drop(u)
		return nil
	}
	st.out++
	return l
}

// send sends a request over a link that is fit for it, and returns that; nil: there is
// none, and nothing was sent.
func (w *worker) send(be *backend, request []byte) *link {
	for {
		l := w.link(be)
		if l == nil {
			return nil
		}
		// As upstream.fresh has it: nobody's answer may be there.
		if _, err := sock.Receive(uintptr(l.fd), w.in[:1]); err != unix.EAGAIN {
			l.drop()
			continue
		}
		n, err := sock.Send(uintptr(l.fd), request)
		if err != nil && err != unix.EAGAIN {
			l.drop()
			continue
		}
		l.rest = append(l.rest[:0], request[n:]...)
		l.asked, l.in, l.since = true, l.in[:0], w.now
		return l
	}
}

// ready implements member.
func (l *link) ready(what uint32) {
	if what&poll.Writable != 0 && len(l.rest) > 0 {
		n, err := sock.Send(uintptr(l.fd), l.rest)
		if err != nil && err != unix.EAGAIN {
			l.fail(err)
			return
		}
		l.rest = append(l.rest[:0], l.rest[n:]...)
	}
	if what&(poll.Readable|poll.Ended|poll.Broken) == 0 {
		return
	}
	if l.ended = l.ended || what&(poll.Ended|poll.Broken) != 0; !l.asked {
		l.drop() // it was closed, or something came unasked
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

// take looks at all that has come, and says whether nothing more is waited for.
func (l *link) take(came []byte) (done bool) {
	i := bytes.Index(came, []byte("\r\n\r\n"))
	a := &l.w.ans
	switch {
	case i < 0 && len(came) < l.u.r.Size():
		return l.keep(came)
	case i < 0 || a.parse(came[:i+len("\r\n\r\n")], false) != nil || !settles(a):
		l.handOver(came)
		return true
	case len(came) < a.size+a.length:
		return l.keep(came)
	}
	s, unasked := l.seat, len(came) > a.size+a.length
	body := came[a.size : a.size+a.length]
	l.asked = false
	if l.ended || !a.keep || unasked || len(l.rest) > 0 {
		l.drop()
	} else {
		l.shelve()
	}
	if s != nil {
		s.answer(a, body)
	}
	return true
}

// keep keeps what came where the next bytes do not overwrite it.
func (l *link) keep(came []byte) (done bool) {
	if len(l.in) > 0 {
		return false // there it is
	}
	if n := len(l.w.rooms); cap(l.in) < len(came) && n > 0 {
		l.in, l.w.rooms = l.w.rooms[n-1], l.w.rooms[:n-1]
	}
	l.in = append(l.in, came...)
	return false
}

// settles says whether an answer is passed on as it is, whole: what judge and learn would
// have questions about is the server's, and so is what streams.
func settles(a *answer) bool {
	return a.status >= fasthttp.StatusOK && a.status != fasthttp.StatusServiceUnavailable &&
		(a.status < fasthttp.StatusInternalServerError || a.mark == markNone) && a.length >= 0 && a.length <= copyAnswer
}

// shelve keeps the link for another request, unless the pool wants it back.
func (l *link) shelve() {
	st := l.w.stock[l.be]
	workers := len(l.w.of.all)
	most := (l.w.b.set.Load().cfg.UpstreamIdleConns + workers - 1) / workers
	if l.be.pool.wants.Load() || len(st.idle) >= most {
		l.putBack()
		return
	}
	if cap(l.in) > keepRoom && len(l.w.rooms) < roomsMost {
		l.w.rooms = append(l.w.rooms, l.in[:0]) // who waits for the answer copies it before another is received
	}
	if cap(l.in) > keepRoom {
		l.in = nil
	}
	l.since = l.w.now
	st.idle = append(st.idle, l)
}

// recall gives a backend's pool the idle connections that it wants back.
func (w *worker) recall(be *backend) {
	st := w.stock[be]
	for st != nil && len(st.idle) > 0 && be.pool.wants.Load() {
		st.idle[0].putBack()
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

// drop ends the connection.
func (l *link) drop() {
	if fd := l.part(); fd >= 0 {
		_ = unix.Close(fd)
		l.be.pool.drop(l.u)
	}
}

// part takes the connection away from the worker; less than 0: that was done before.
func (l *link) part() (fd int) {
	if fd, l.fd = l.fd, -1; fd < 0 {
		return fd
	}
	l.w.remove(fd)
	st := l.w.stock[l.be]
	st.out--
	if i := slices.Index(st.idle, l); i >= 0 {
		st.idle = slices.Delete(st.idle, i, i+1)
	}
	return fd
}

// fail ends the connection under a request.
func (l *link) fail(err error) {
	l.drop()
	if l.seat != nil {
		l.seat.handOver(handed{err: unexpected(err)})
	}
}

// handOver gives the connection to the server with the request that is on it, and with
// what came of the answer.
func (l *link) handOver(came []byte) {
	switch s := l.seat; {
	case len(l.rest) > 0: // the server has no way to go on with that
		l.fail(os.ErrDeadlineExceeded)
	case s == nil:
		l.drop()
	default:
		s.guest.sendAway(s.served)
		s.handOver(handed{u: l.u, fd: l.part(), in: bytes.Clone(came)})
	}
}

// tick implements member.
func (l *link) tick() {
	waited := l.w.now.Sub(l.since)
	switch {
	case !l.asked && waited >= l.w.b.set.Load().cfg.UpstreamIdleTimeout,
		l.asked && l.seat == nil && waited >= lateAnswer:
		l.drop()
	}
}

// panicked implements member.
func (l *link) panicked() {
	s := l.seat
	l.drop()
	if s != nil {
		s.close()
	}
}
