package lb

import (
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

const (
	// sharedMost is how many links of a worker to one backend reads share at most, sharedDeep
	// how many are under way on one, and sharedBytes how many bytes of theirs wait to be sent.
	sharedMost  = 2
	sharedDeep  = 64
	sharedBytes = 32 << 10
	// sharedPause is how long reads to a backend go apart after one of them had to leave those
	// behind it.
	sharedPause = time.Second
)

// stock is a worker's links to one backend.
type stock struct {
	idle   []*link   // the one used last is used next
	shared []*link   // by reads: each has one at least
	apart  time.Time // until when none are
	out    int       // all of them
}

// stockOf is the worker's stock of links to a backend.
func (w *worker) stockOf(be *backend) *stock {
	st := w.stock[be]
	if st == nil {
		st = &stock{}
		w.stock[be] = st
	}
	return st
}

// take finds an idle link that is fit for a request, or borrows one; nil: the pool has
// none to lend.
func (w *worker) take(be *backend) *link {
	for {
		l := w.link(be)
		if l == nil {
			return nil
		}
		if w.fit(l) {
			return l
		}
		l.drop()
	}
}

// fit says whether a link is, as upstream.fresh has it: nobody's answer may be there.
func (w *worker) fit(l *link) bool {
	_, err := sock.Receive(uintptr(l.fd), w.in[:1])
	return err == unix.EAGAIN
}

func (w *worker) link(be *backend) *link {
	st := w.stockOf(be)
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
	if w.Add(fd, l) != nil {
		_ = unix.Close(fd)
		be.pool.drop(u)
		return nil
	}
	st.out++
	return l
}

// share finds a link for a read of so many bytes that may go with others: one to which
// more is to be sent anyway, or else one of its own to share, or else the one with the
// fewest. nil: reads go apart.
func (w *worker) share(be *backend, size int) *link {
	st := w.stockOf(be)
	if w.Now.Before(st.apart) || be.pool.wants.Load() {
		return nil
	}
	var best *link
	for _, l := range st.shared {
		switch {
		case len(l.queue) >= sharedDeep || len(l.out)+size > sharedBytes:
		case l.due:
			return l
		case best == nil || len(l.queue) < len(best.queue):
			best = l
		}
	}
	if len(st.shared) < sharedMost {
		if l := w.link(be); l != nil { // flush looks whether it is fit
			l.shared = true
			st.shared = append(st.shared, l)
			return l
		}
	}
	return best
}

// shelve keeps a link that has nothing under way for another request, unless the pool
// wants it back.
func (l *link) shelve() {
	st := l.w.stock[l.be]
	l.unshare()
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
	l.since = l.w.Now
	st.idle = append(st.idle, l)
}

// recall gives a backend's pool the idle connections that it wants back.
func (w *worker) recall(be *backend) {
	st := w.stock[be]
	for st != nil && len(st.idle) > 0 && be.pool.wants.Load() {
		st.idle[0].putBack()
	}
}
