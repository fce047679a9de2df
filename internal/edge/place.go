package edge

import (
	"io"
	"net"
	"sync"
	"time"
)

// place is one of the connections that the server of a Bundle sees.
type place struct {
	of *Bundle
	at uint32
	in chan struct{} // a request is in buf; closed when no more are taken

	mu   sync.Mutex
	busy bool // with a request whose answer has not been put
	done bool // in is closed

	// What follows belongs to whoever has the request.
	buf    []byte // the request
	rest   []byte // of buf, to be read
	taken  bool
	answer []byte
}

// take takes a request, unless the server has closed the place. The one before it
// has its answer.
func (p *place) take(request []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return false
	}
	p.busy = true
	p.buf = append(p.buf[:0], request...)
	p.in <- struct{}{}
	return true
}

// answering says whether the last request has no answer yet.
func (p *place) answering() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// Read returns what there is of the request. Asked for the next one, it puts the
// answer to the last.
func (p *place) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.taken && len(p.answer) == 0 {
			return 0, io.ErrUnexpectedEOF // the frame ends within its request
		}
		p.put()
		if _, more := <-p.in; !more { // one that was taken before the end is served
			return 0, io.EOF
		}
		p.rest, p.taken = p.buf, true
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
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
		close(p.in)
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
