package main

import (
	"syscall"

	"github.com/dengine/dengine/internal/edge/sock"
)

// roundTrip sends a request with the read of its answer: nobody reads before it was
// sent, and where it is, what comes next is waited for, not looked for first. That is a
// system call less for each request than to write and to read.
type roundTrip struct {
	*sock.Conn
	step func(fd uintptr) bool // once
	out  []byte                // the request; nil: it was sent
	in   []byte
	n    int
	err  error
}

func newRoundTrip(c *sock.Conn) *roundTrip {
	r := &roundTrip{Conn: c}
	r.step = r.once
	return r
}

// Read implements io.Reader.
func (r *roundTrip) Read(p []byte) (int, error) {
	if r.out == nil {
		return r.Conn.Read(p)
	}
	r.in, r.n, r.err = p, 0, nil
	err := r.Raw().Read(r.step)
	for err != nil && r.Early(err) {
		err = r.Raw().Read(r.step)
	}
	r.in = nil
	switch {
	case err != nil:
		return 0, err
	case r.err == nil && r.out != nil: // the kernel took a part of it
		rest := r.out
		r.out = nil
		if _, err := r.Write(rest); err != nil {
			return 0, err
		}
		return r.Conn.Read(p)
	}
	return r.n, r.err
}

// once does what can be done without waiting, and says whether that is all.
func (r *roundTrip) once(fd uintptr) (done bool) {
	if r.out == nil {
		r.n, r.err = sock.Receive(fd, r.in)
		return r.err != syscall.EAGAIN
	}
	n, err := sock.Send(fd, r.out)
	switch {
	case err == syscall.EAGAIN:
		return true
	case err != nil:
		r.err = err
		return true
	case n < len(r.out):
		r.out = r.out[n:]
		return true
	}
	r.out = nil
	return false
}
