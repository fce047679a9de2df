package lb

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// guest is a client's connection. Either a goroutine of the HTTP server has it, in a
// visit, or a worker, on a seat.
type guest struct {
	ip   []byte // the client's
	addr string // with its port

	// Whoever has it reads and writes these.
	stay    int // requests that are the server's before a worker gets it again
	penalty int // the last stay

	// These are guarded by the front's lock.
	used   bool   // a request has come
	giveUp func() // gives back what a takeover of the connection holds; nil: none is due
	visit  *visit // nil: a worker has it
	worker *worker
	cut    bool // it is to end, whoever has it
}

// maxStay bounds what sendAway makes of many plain requests whose answers are not.
const maxStay = 63

// sendAway has the server serve more requests of a guest each time that a worker had to
// give one up, unless it had done others before.
func (g *guest) sendAway(served uint64) {
	if served > maxStay {
		g.penalty = 0
	}
	g.penalty = min(2*g.penalty+1, maxStay)
	g.stay = g.penalty
}

// visit is one stay of a guest with the HTTP server. It ends with the connection, or
// between two requests, when a worker takes over.
type visit struct {
	net.Conn
	front  *front
	guest  *guest
	state  atomic.Int32           // one of visiting, leaving and left
	handed atomic.Pointer[handed] // what became of the first request at a worker; nil: nothing

	// These belong to the server's goroutine.
	in      []byte // what a worker has read comes first
	between bool   // the last request is answered, and nothing of the next one was read
	plain   bool   // a worker could have answered the last one
	fd      int    // the connection's, for the worker, from leaving on
}

// What visit.state says.
const (
	visiting = iota
	leaving  // for a worker; the server does not know, and takes it for the connection's end
	left
)

func newGuest(c net.Conn) *guest {
	addr := c.RemoteAddr()
	return &guest{ip: appendClientIP(nil, addr), addr: addr.String()}
}

func (f *front) newVisit(c net.Conn, g *guest) *visit {
	v := &visit{Conn: c, front: f, guest: g, fd: -1}
	g.visit = v
	return v
}

// Raw is the connection for system calls; nil: it has none.
func (v *visit) Raw() syscall.RawConn {
	if c, ok := v.Conn.(*sock.Conn); ok {
		return c.Raw()
	}
	return nil
}

// Read implements net.Conn. Where a worker is to take over, it says that the connection
// has ended.
func (v *visit) Read(p []byte) (int, error) {
	if len(v.in) > 0 {
		n := copy(p, v.in)
		v.in = v.in[n:]
		return n, nil
	}
	if v.between && v.mayLeave() {
		return 0, io.EOF
	}
	return v.Conn.Read(p)
}

// mayLeave prepares for a worker to take over, and says whether it will.
func (v *visit) mayLeave() bool {
	if !v.plain || len(v.front.workers.all) == 0 || v.Raw() == nil {
		return false
	}
	if v.guest.stay > 0 {
		v.guest.stay--
		return false
	}
	fd, err := sock.Duplicate(v.Raw())
	if err != nil {
		return false // it goes on here
	}
	v.fd = fd
	if !v.state.CompareAndSwap(visiting, leaving) { // somebody closed it meanwhile
		_ = unix.Close(fd)
		return false
	}
	return true
}

// Close implements net.Conn. It ends the visit, and the connection only if no worker
// takes over.
func (v *visit) Close() error {
	switch {
	case v.state.CompareAndSwap(leaving, left):
		err := v.Conn.Close()
		v.front.move(v)
		return err
	case v.state.CompareAndSwap(visiting, left):
		v.front.lose(v.handed.Swap(nil))
		defer v.front.forget(v)
	}
	return v.Conn.Close()
}

// lose counts a request that a worker sent and nobody will see through.
func (f *front) lose(h *handed) {
	if h == nil {
		return
	}
	h.drop()
	f.stats.count(h.class, statusClientLeft, time.Since(h.start))
}

// visitState hears from the server what a visit's connection does.
func (f *front) visitState(c net.Conn, s fasthttp.ConnState) {
	if v, ok := c.(*visit); ok && (s == fasthttp.StateIdle || s == fasthttp.StateActive) { // both said by who reads
		v.between = s == fasthttp.StateIdle
	}
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

// move gives a guest whose visit is over to a worker.
func (f *front) move(v *visit) {
	g := v.guest
	f.mu.Lock()
	if g.visit = nil; g.worker == nil {
		g.worker = f.workers.pick()
	}
	cut := g.cut
	f.mu.Unlock()
	if cut || !g.worker.Post(func() { g.worker.seat(g, v.fd) }) {
		_ = unix.Close(v.fd)
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
		v := f.newVisit(sock.New(c), g)
		cut, gen := g.cut, f.current
		gen.visits++
		f.mu.Unlock()
		v.in = in
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
