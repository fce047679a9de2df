package edge

import (
	"io"
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
	wg     sync.WaitGroup // of places

	mu     sync.Mutex
	places []*place // the newest at each place
	live   int      // places that have not ended
	closed bool
}

// NewBundle returns a Bundle of requests that come over c, for Run to have server
// answer. Of a hijacked connection fasthttp's own Close would do nothing.
func NewBundle(c net.Conn, server *fasthttp.Server) *Bundle {
	end := c.Close
	if hijacked, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		end = hijacked.UnsafeConn().Close
	}
	return &Bundle{conn: c, end: end, server: server, outbox: NewOutbox(func(p []byte) error {
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
		if r.Buffered() == 0 && b.conn.SetReadDeadline(after(b.server.IdleTimeout)) != nil {
			break
		}
		at, request, err := NextFrame(r)
		if err != nil || !b.give(at, request) {
			break
		}
	}
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

// give hands a request to its place, and says whether that was free.
func (b *Bundle) give(at uint32, request []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for int(at) >= len(b.places) {
		b.places = append(b.places, nil)
	}
	if p := b.places[at]; p != nil {
		switch took, over := p.take(request); {
		case took:
			return true
		case !over:
			return false
		}
	}
	p := &place{of: b, at: at, in: make(chan struct{}, 1), over: make(chan struct{})}
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
	return true
}

// after is when a timeout has passed; zero: never.
func after(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// place is one of the connections that the server sees.
type place struct {
	of   *Bundle
	at   uint32
	in   chan struct{} // a request is in buf
	over chan struct{} // closed when no more requests are taken

	mu   sync.Mutex
	busy bool // with a request whose answer has not been put
	done bool // over is closed

	// What follows belongs to whoever has the request.
	buf    []byte // the request
	rest   []byte // of buf, to be read
	taken  bool
	answer []byte
}

// take takes a request, unless the one before it has no answer yet or the server
// has closed the place.
func (p *place) take(request []byte) (took, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.done {
		return false, p.done && !p.busy
	}
	p.busy = true
	p.buf = append(p.buf[:0], request...)
	p.in <- struct{}{}
	return true, false
}

// Read returns what there is of the request. Asked for the next one, it puts the
// answer to the last.
func (p *place) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.taken && len(p.answer) == 0 {
			return 0, io.ErrUnexpectedEOF // the frame ends within its request
		}
		p.put()
		if !p.await() {
			return 0, io.EOF
		}
		p.rest, p.taken = p.buf, true
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// await waits for a request. One that was taken before the end is served.
func (p *place) await() bool {
	select {
	case <-p.in:
		return true
	default:
	}
	select {
	case <-p.in:
		return true
	case <-p.over:
	}
	select {
	case <-p.in:
		return true
	default:
		return false
	}
}

// put sends the answer, if there is one.
func (p *place) put() {
	if !p.taken {
		return
	}
	p.taken = false
	p.mu.Lock()
	p.busy = false
	p.mu.Unlock()
	if len(p.answer) > MaxMessage {
		_ = p.of.end()
	} else {
		p.of.outbox.Put(p.at, p.answer)
	}
	p.answer = p.answer[:0]
}

// finish is called when the server is done with the place. A request that it left
// without an answer takes the connection with it: its sender must not wait.
func (p *place) finish() {
	_ = p.Close()
	if p.taken && len(p.answer) == 0 || !p.taken && len(p.in) > 0 {
		_ = p.of.end()
		return
	}
	p.put()
}

// Write adds to the answer.
func (p *place) Write(b []byte) (int, error) {
	p.answer = append(p.answer, b...)
	return len(b), nil
}

// Close takes no more requests. The one at hand is answered.
func (p *place) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		p.done = true
		close(p.over)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (p *place) LocalAddr() net.Addr { return p.of.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (p *place) RemoteAddr() net.Addr { return p.of.conn.RemoteAddr() }

// SetDeadline does nothing: requests come whole, and no answer is sent from here.
func (p *place) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is as SetDeadline.
func (p *place) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is as SetDeadline.
func (p *place) SetWriteDeadline(time.Time) error { return nil }
