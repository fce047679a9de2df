package fuzzkit

import (
	"bytes"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// patience is how long a connection may take to end. Nothing waits for it when all
// is well: whoever serves a Conn never has to wait for a byte.
const patience = 30 * time.Second

// Conn is a connection in memory whose other side has sent all that it will and is
// silent from then on: a read behind the last byte finds its deadline passed at
// once, so that no timeout of a server costs a fuzz target any time.
type Conn struct {
	sent  []byte
	ended chan struct{}

	mu   sync.Mutex
	rest []byte
	out  bytes.Buffer
}

// NewConn makes one from which in will be read.
func NewConn(in []byte) *Conn {
	return &Conn{sent: in, rest: in, ended: make(chan struct{})}
}

// Answered waits until the connection is closed, and returns what was written to
// it. One that is never closed fails the test.
func (c *Conn) Answered(t testing.TB) []byte {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-c.ended:
	case <-limit.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed() {
		t.Fatalf("%q hangs, after the answer %q", c.sent, c.out.Bytes())
	}
	return c.out.Bytes()
}

func (c *Conn) closed() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed():
		return 0, net.ErrClosed
	case len(c.rest) == 0:
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed() {
		return 0, net.ErrClosed
	}
	return c.out.Write(p)
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed() {
		close(c.ended)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (*Conn) LocalAddr() net.Addr { return loopback(1) }

// RemoteAddr implements net.Conn.
func (*Conn) RemoteAddr() net.Addr { return loopback(2) }

func loopback(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }

// SetDeadline implements net.Conn; no deadline is ever waited for.
func (*Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is as SetDeadline.
func (*Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is as SetDeadline.
func (*Conn) SetWriteDeadline(time.Time) error { return nil }
