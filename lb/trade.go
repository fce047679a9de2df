package lb

import (
	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

// trade sends a request and waits for its answer in one go, with three system calls
// where there were up to four: the look whether the connection is still fresh is a read
// that finds nothing, and after the request nobody reads before something has come.
type trade struct {
	step   func(fd uintptr) bool // once
	out    []byte                // the request; nil: it was sent
	in     []byte
	looked bool // nothing was there before the request
	n      int  // bytes of the answer
	err    error
	wrote  bool // a part of the request
}

// sendWithRead makes a request go out with the next read, and says whether that can be.
func (u *upstream) sendWithRead(request []byte) bool {
	if u.Raw() == nil || u.r.Buffered() > 0 {
		return false
	}
	u.trade.out, u.trade.looked, u.trade.wrote = request, !u.used, false
	return true
}

// Read sends what is to go out with it, and waits for what comes.
func (u *upstream) Read(p []byte) (int, error) {
	t := &u.trade
	switch {
	case len(u.ahead) > 0:
		n := copy(p, u.ahead)
		u.ahead = u.ahead[n:]
		return n, nil
	case t.out == nil:
		return u.Conn.Read(p)
	}
	t.in, t.n, t.err = p, 0, nil
	err := u.Raw().Read(t.step)
	for err != nil && u.Early(err) {
		err = u.Raw().Read(t.step)
	}
	t.in = nil
	u.wrote = u.wrote || t.wrote
	switch {
	case err != nil: // not sent yet, it goes out with the next read
		return 0, err
	case t.err == nil && t.out != nil: // the kernel took a part of it
		rest := t.out
		t.out = nil
		if _, err := u.Write(rest); err != nil {
			return 0, err
		}
		return u.Conn.Read(p)
	}
	t.out = nil
	return t.n, t.err
}

// once does what can be done without waiting, and says whether that is all.
func (t *trade) once(fd uintptr) (done bool) {
	if t.out == nil {
		return t.read(fd)
	}
	if !t.looked {
		if t.looked = !t.read(fd); !t.looked {
			t.n, t.err = 0, errStale
			return true
		}
	}
	n, err := sock.Send(fd, t.out)
	switch {
	case err == unix.EAGAIN:
		return true
	case err != nil:
		t.err = err
		return true
	}
	t.wrote = n > 0
	if n < len(t.out) {
		t.out = t.out[n:]
		return true
	}
	t.out = nil
	return false
}

// read says whether anything came, an end or an error included.
func (t *trade) read(fd uintptr) bool {
	if t.n, t.err = sock.Receive(fd, t.in); t.err == unix.EAGAIN {
		t.err = nil
		return false
	}
	return true
}
