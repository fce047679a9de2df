package lb

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// alarm is the deadline of one direction of a connection. To set one costs the
// runtime a timer, and a request sets several of which hardly any is ever reached.
// So one that is set already stands for every later one: when it passes before
// its time, it is set again for what is left. It is for one goroutine at a time.
type alarm struct {
	set   func(time.Time) error // of the connection
	want  time.Time             // as asked for; zero: never
	armed time.Time             // as set; zero: it was not yet
}

// at asks for a deadline, or for none where t is zero.
func (a *alarm) at(t time.Time) error {
	a.want = t
	if t.IsZero() || !a.armed.IsZero() && !t.Before(a.armed) {
		return nil
	}
	a.armed = t
	return a.set(t)
}

// early says whether err is of a deadline that passed before its time. It has been
// set again then.
func (a *alarm) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !a.want.IsZero() && !time.Now().Before(a.want) {
		return false
	}
	a.armed = a.want
	return a.set(a.want) == nil
}

// patient is a connection whose deadlines are alarms. Its reads and deadlines for
// reading belong to one goroutine at a time, and so do those for writing.
type patient struct {
	net.Conn
	socket        *socket       // nil: it has none
	io            io.ReadWriter // the socket, or Conn
	reads, writes alarm
}

func newPatient(c net.Conn) *patient {
	p := &patient{Conn: c, io: c, socket: newSocket(c), reads: alarm{set: c.SetReadDeadline}, writes: alarm{set: c.SetWriteDeadline}}
	if p.socket != nil {
		p.io = p.socket
	}
	return p
}

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	for {
		n, err := p.io.Read(b)
		if err == nil || n > 0 || !p.reads.early(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (p *patient) Write(b []byte) (int, error) {
	for total := 0; ; {
		n, err := p.io.Write(b[total:])
		total += n
		if err == nil || !p.writes.early(err) {
			return total, err
		}
	}
}

// SetReadDeadline implements net.Conn.
func (p *patient) SetReadDeadline(t time.Time) error { return p.reads.at(t) }

// SetWriteDeadline implements net.Conn.
func (p *patient) SetWriteDeadline(t time.Time) error { return p.writes.at(t) }

// SetDeadline implements net.Conn.
func (p *patient) SetDeadline(t time.Time) error {
	if err := p.reads.at(t); err != nil {
		return err
	}
	return p.writes.at(t)
}
