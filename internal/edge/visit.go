package edge

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// Visit is one stay of a connection with an HTTP server. It ends with the connection, or
// between two requests, when somebody else takes over: the server is told then that the
// connection has ended. The server's ConnState must be VisitState.
type Visit struct {
	net.Conn        // closes nothing but itself
	Host     Host   // whose visit it is
	In       []byte // what was read elsewhere, and comes first; what is left of it is for who takes over

	state   atomic.Int32 // one of visiting, leaving and left
	between bool         // the last request is answered, and nothing of the next one was read
	fd      int          // the connection's, for who takes over
	begun   bool         // something was read

	// Somebody else may take over behind a request though others were sent behind it
	// already (RFC 9112, section 9.3.2): the server gets no byte of those before.
	end requestEnd
}

// Host is whose visit it is.
type Host interface {
	// MayLeave says whether somebody else is to take over. It is asked between two requests.
	MayLeave() bool
	// Leave takes over: fd is the connection's.
	Leave(fd int)
	// Ended hears that the visit ended with the connection.
	Ended()
}

// What Visit.state says.
const (
	visiting = iota
	leaving  // the server does not know, and takes it for the connection's end
	left
)

// VisitState tells a Visit what its connection does.
func VisitState(c net.Conn, s fasthttp.ConnState) {
	if v, ok := c.(interface{ note(s fasthttp.ConnState) }); ok {
		v.note(s)
	}
}

func (v *Visit) note(s fasthttp.ConnState) {
	if s == fasthttp.StateIdle || s == fasthttp.StateActive { // both said by who reads
		v.between = s == fasthttp.StateIdle
	}
}

// Raw is the connection for system calls; nil: it has none.
func (v *Visit) Raw() syscall.RawConn {
	if c, ok := v.Conn.(*sock.Conn); ok {
		return c.Raw()
	}
	return nil
}

// Read implements net.Conn. Where somebody else is to take over, it says that the connection
// has ended.
func (v *Visit) Read(p []byte) (int, error) {
	if v.between && (len(v.In) == 0 || v.end.length != nil) && v.Host.MayLeave() && v.leaves() {
		return 0, io.EOF
	}
	if v.between || !v.begun {
		v.begun = true
		v.end.begin()
	}
	in := v.In
	n, err := min(len(in), len(p)), error(nil)
	if n == 0 {
		n, err = v.Conn.Read(p)
		in = p[:n]
	}
	n -= v.end.behind(in[:n])
	switch rest := in[n:]; {
	case len(rest) == 0:
		v.In = nil
	case len(v.In) == 0:
		v.In = bytes.Clone(rest)
	default:
		v.In = rest
	}
	return copy(p, in[:n]), err
}

// leaves prepares to leave, and says whether it will.
func (v *Visit) leaves() bool {
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

// Close implements net.Conn. It ends the visit, and the connection only if nobody takes
// over.
func (v *Visit) Close() error {
	switch {
	case v.state.CompareAndSwap(leaving, left):
		err := v.Conn.Close()
		v.Host.Leave(v.fd)
		return err
	case v.state.CompareAndSwap(visiting, left):
		defer v.Host.Ended()
	}
	return v.Conn.Close()
}

// Stay is how many requests of a connection are the server's before somebody else takes over
// once more: more each time that it was sent back, unless it had served many before.
type Stay struct{ left, last int }

// maxStay bounds what SentBack makes of many requests that nobody but the server knows.
const maxStay = 63

// GoesOn counts one request, and says whether the connection stays.
func (s *Stay) GoesOn() bool {
	if s.left == 0 {
		return false
	}
	s.left--
	return true
}

// SentBack notes that the connection came back after so many requests elsewhere.
func (s *Stay) SentBack(served uint64) {
	if served > maxStay {
		s.last = 0
	}
	s.last = min(2*s.last+1, maxStay)
	s.left = s.last
}
