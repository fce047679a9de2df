package lb

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/edge/sock"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// guest is a client's connection. Either a goroutine of the HTTP server has it, in a
// visit, or a worker, on a seat.
type guest struct {
	ip   []byte // the client's
	addr string // with its port

	// Whoever has it reads and writes these.
	stay edge.Stay

	// These are guarded by the front's lock.
	used   bool   // a request has come
	giveUp func() // gives back what a takeover of the connection holds; nil: none is due
	visit  *visit // nil: a worker has it
	worker *worker
	cut    bool // it is to end, whoever has it
}

// visit is one stay of a guest with the HTTP server, until a worker takes over.
type visit struct {
	edge.Visit
	front  *front
	guest  *guest
	handed atomic.Pointer[handed] // what became of the first request at a worker; nil: nothing
	plain  bool                   // a worker could have answered the last one; the server's goroutine's
}

func newGuest(c net.Conn) *guest {
	addr := c.RemoteAddr()
	return &guest{ip: appendClientIP(nil, addr), addr: addr.String()}
}

// newVisit is a visit that begins with bytes that a worker has read.
func (f *front) newVisit(c net.Conn, g *guest, in []byte) *visit {
	v := &visit{front: f, guest: g}
	v.Conn, v.In, v.Host = c, in, v
	g.visit = v
	return v
}

// MayLeave implements edge.Host.
func (v *visit) MayLeave() bool {
	return v.plain && len(v.front.workers.all) > 0 && v.Raw() != nil && !v.guest.stay.GoesOn()
}

// Leave implements edge.Host: a worker takes over.
func (v *visit) Leave(fd int) { v.front.move(v.guest, fd) }

// Ended implements edge.Host.
func (v *visit) Ended() {
	v.front.lose(v.handed.Swap(nil))
	v.front.forget(v)
}

// lose counts a request that a worker sent and nobody will see through.
func (f *front) lose(h *handed) {
	if h == nil {
		return
	}
	h.drop()
	f.stats.count(h.class, statusClientLeft, time.Since(h.start))
}

// guestOf is whose connection it is, or nil.
func guestOf(c net.Conn) *guest {
	if v, ok := c.(*visit); ok {
		return v.guest
	}
	return nil
}

// use notes that a request has come over a connection.
func (f *front) use(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := guestOf(c); g != nil {
		g.used = true
	}
}

// forget counts a client's connection out, once.
func (f *front) forget(c net.Conn) { f.leave(guestOf(c)) }

func (f *front) leave(g *guest) {
	f.mu.Lock()
	_, here := f.guests[g]
	delete(f.guests, g)
	f.mu.Unlock()
	if !here {
		return
	}
	f.open.Add(-1)
	if g.giveUp != nil {
		g.giveUp()
	}
}

// takeOver says what to give back once the connection is forgotten. The server
// may close it without ever calling the handler that was to take it over.
func (f *front) takeOver(c net.Conn, giveUp func()) {
	f.mu.Lock()
	g := guestOf(c)
	_, here := f.guests[g]
	if here {
		g.giveUp = giveUp
	}
	f.mu.Unlock()
	if !here {
		giveUp()
	}
}

// move gives a guest whose visit is over, and whose connection fd is, to a worker.
func (f *front) move(g *guest, fd int) {
	f.mu.Lock()
	if g.visit = nil; g.worker == nil {
		g.worker = f.workers.pick()
	}
	cut := g.cut
	f.mu.Unlock()
	if cut || !g.worker.Post(func() { g.worker.seat(g, fd) }) {
		_ = unix.Close(fd)
		f.leave(g)
	}
}

// readmit gives a guest that a worker has had back to the server, with what has come of
// its next request and what became of that. It must be called by the worker, before
// that counts the guest out.
func (f *front) readmit(g *guest, fd int, in []byte, h *handed) {
	f.visits.Go(func() {
		c, err := sock.ConnOf(fd)
		if err != nil {
			f.log.Warn("a client's connection was lost on its way from a worker to the server", zap.Error(err))
			f.lose(h)
			f.leave(g)
			return
		}
		h.take()
		f.mu.Lock()
		v := f.newVisit(sock.New(c), g, in)
		cut, gen := g.cut, f.current
		gen.visits++
		f.mu.Unlock()
		v.handed.Store(h)
		if cut {
			_ = v.Close()
		} else {
			_ = gen.srv.ServeConn(v) // what went wrong is in the answer
		}
		f.mu.Lock()
		gen.visits--
		f.mu.Unlock()
	})
}

// cut closes the connections of clients that which picks.
func (f *front) cut(which func(used bool) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for g := range f.guests {
		if !which(g.used) {
			continue
		}
		g.cut = true
		if g.visit != nil {
			_ = g.visit.Conn.Close()
		} else {
			g.worker.Post(func() { g.worker.cut(g) })
		}
	}
}
