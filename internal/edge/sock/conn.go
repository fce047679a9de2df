// Package sock is a TCP connection that costs little for each request: its system
// calls never wait, and setting a deadline is next to free.
package sock

import (
	"io"
	"net"
	"syscall"
	"time"
)

// Conn is a connection whose deadlines are alarms. Its reads and deadlines for
// reading belong to one goroutine at a time, and so do those for writing.
type Conn struct {
	net.Conn
	socket        *socket       // nil: it has none
	io            io.ReadWriter // the socket, or Conn
	reads, writes alarm
}

// New returns a Conn of c. Only of a TCP connection the system calls are its own.
func New(c net.Conn) *Conn {
	out := &Conn{Conn: c, io: c, socket: newSocket(c), reads: alarm{set: c.SetReadDeadline}, writes: alarm{set: c.SetWriteDeadline}}
	if out.socket != nil {
		out.io = out.socket
	}
	return out
}

// Raw is the connection for system calls, whose waiting ends with the deadlines that
// were set; nil where it is not TCP.
func (c *Conn) Raw() syscall.RawConn {
	if c.socket == nil {
		return nil
	}
	return c.socket.raw
}

// Early says whether err, of reading from Raw, is of a deadline that passed before its
// time: it has been set again, and there is more time to read.
func (c *Conn) Early(err error) bool { return c.reads.early(err) }

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		n, err := c.io.Read(b)
		if err == nil || n > 0 || !c.reads.early(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	for total := 0; ; {
		n, err := c.io.Write(b[total:])
		total += n
		if err == nil || !c.writes.early(err) {
			return total, err
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.reads.at(t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.writes.at(t) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.reads.at(t); err != nil {
		return err
	}
	return c.writes.at(t)
}
