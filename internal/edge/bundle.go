package edge

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Bundle is a connection on which many requests are under way at once, each at a
// place of its own. The server sees every place as a connection, over which one
// request comes after the other; answers leave in the order in which they are
// there. Of the server's timeouts those for idle connections and for writing hold:
// requests come whole.
type Bundle struct {
	conn   net.Conn
	end    func() error // closes it
	server *fasthttp.Server
	outbox *Outbox
	wg     sync.WaitGroup // of places and flocks
	quick  func() Flock   // nil: the server answers all
	flock  *flock         // that gathers, if one does
	flocks sync.Pool      // of those that have been answered

	mu     sync.Mutex
	places []*place // the newest at each place
	flying []bool   // the request at a place is in a flock, and has no answer yet
	live   int      // places that have not ended, and requests in flocks
	closed bool
}

// NewBundle returns a Bundle of requests that come over c, for Run to have server
// answer; and flocks, which quick makes, those that they take. quick may be nil. Of
// a hijacked connection fasthttp's own Close would do nothing.
func NewBundle(c net.Conn, server *fasthttp.Server, quick func() Flock) *Bundle {
	end := c.Close
	if hijacked, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		end = hijacked.UnsafeConn().Close
	}
	return &Bundle{conn: c, end: end, server: server, quick: quick, flocks: sync.Pool{New: func() any { return new(flock) }}, outbox: NewOutbox(func(p []byte) error {
		err := c.SetWriteDeadline(after(server.WriteTimeout))
		if err == nil {
			_, err = c.Write(p)
		}
		if err != nil {
			_ = end()
		}
		return err
	})}
}

// Run serves until the connection ends, or something comes that must not. It
// returns when every request has been served.
func (b *Bundle) Run() {
	r := NewFrameReader(b.conn)
	for {
		if !frameIsThere(r) {
			b.let()
		}
		if r.Buffered() == 0 && b.conn.SetReadDeadline(after(b.server.IdleTimeout)) != nil {
			break
		}
		at, request, err := NextFrame(r)
		if err != nil || !b.take(at, request) {
			break
		}
	}
	b.let()
	_ = b.end()
	b.Close()
	b.wg.Wait()
}

// Close ends the connection once every request that has come is answered. Run
// returns then.
func (b *Bundle) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, p := range b.places {
		if p != nil {
			_ = p.Close()
		}
	}
	b.endIfDone()
}

// endIfDone is called with the lock held.
func (b *Bundle) endIfDone() {
	if b.closed && b.live == 0 {
		_ = b.end()
	}
}

// take has a request answered, and says whether its place was free.
func (b *Bundle) take(at uint32, request []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for int(at) >= len(b.places) {
		b.places, b.flying = append(b.places, nil), append(b.flying, false)
	}
	p := b.places[at]
	switch {
	case b.flying[at], p != nil && p.answering():
		return false
	case !b.joins(request):
		b.give(at, p, request)
		return true
	}
	b.flying[at] = true
	b.live++
	b.flock.places = append(b.flock.places, at)
	return true
}

// give hands a request to a place that is free, or to a new one; the lock is held.
func (b *Bundle) give(at uint32, p *place, request []byte) {
	if p != nil && p.take(request) {
		return
	}
	p = &place{of: b, at: at, in: make(chan struct{}, 1)}
	b.places[at] = p
	b.live++
	p.take(request)
	if b.closed {
		_ = p.Close()
	}
	b.wg.Go(func() {
		_ = b.server.ServeConn(p) // what went wrong is in the answer
		p.finish()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.live--
		b.endIfDone()
	})
}

// after is when a timeout has passed; zero: never.
func after(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// InBundle says whether a request came in a bundle. Its connection cannot be hijacked.
func InBundle(ctx *fasthttp.RequestCtx) bool {
	_, ok := ctx.Conn().(*place)
	return ok
}
