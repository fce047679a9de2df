package edge

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// AtOnce answers requests that need no waiting, and of which it knows every byte. It
// appends the answers to those that in begins with to out, with date, which is a whole
// header line, and says how many bytes of in they are. From the first request on that
// is another, or not whole, all is the server's. It must answer as the server would:
// nobody can tell who did.
type AtOnce func(in, out, date []byte) (taken int, answers []byte)

// Quick puts an AtOnce before a server: on a connection whose last request is answered,
// it sees what comes before the server does. A request then costs one look at its
// bytes, and the connection goes on to wait where it waited before, in one system call
// less. The first request of a connection is the server's, which counts it as new until
// then. ln is what LimitConns returns.
func Quick(ln net.Listener, s *fasthttp.Server, answer AtOnce) net.Listener {
	s.ConnState = func(c net.Conn, state fasthttp.ConnState) {
		q, ok := c.(*quick)
		if ok && (state == fasthttp.StateIdle || state == fasthttp.StateActive) { // both said by who reads
			q.between = state == fasthttp.StateIdle
		}
	}
	return &quickListener{Listener: ln, answer: answer, server: s}
}

type quickListener struct {
	net.Listener
	answer  AtOnce
	server  *fasthttp.Server
	clock   dateClock
	buffers sync.Pool // *[]byte: few answers are under way at once, however many connections there are
}

// Accept implements net.Listener.
func (l *quickListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counted, ok := c.(*counted)
	if !ok || counted.Raw() == nil {
		return c, nil
	}
	q := &quick{counted: counted, of: l}
	q.step = q.once
	return q, nil
}

// quick is a connection of a server with an AtOnce before it.
type quick struct {
	*counted
	of      *quickListener
	between bool                  // the last request is answered, and nothing of the next one was read
	step    func(fd uintptr) bool // once

	in   []byte // what a read has to fill
	n    int    // how much of it is filled
	err  error
	rest []byte // answers that the kernel had no room for
}

// Read implements net.Conn. Requests that are answered at once are not seen.
func (q *quick) Read(p []byte) (int, error) {
	if !q.between || len(p) == 0 {
		return q.counted.Read(p)
	}
	for {
		q.in, q.n, q.err, q.rest = p, 0, nil, nil
		err := q.Raw().Read(q.step)
		q.in = nil
		switch {
		case err != nil && q.Early(err):
			continue
		case err != nil:
			return 0, err
		case q.err != nil:
			return 0, q.err
		case len(q.rest) > 0:
			if err := q.writeRest(); err != nil {
				return 0, err
			}
		}
		if q.n > 0 {
			return q.n, nil
		}
	}
}

// once takes what is there and answers what it can, until nothing is left (false: wait
// for more) or the server has to see it.
func (q *quick) once(fd uintptr) (done bool) {
	for {
		n, err := sock.Receive(fd, q.in)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			q.err = err
			return true
		}
		if q.reply(fd, q.in[:n]); q.n > 0 || q.err != nil || len(q.rest) > 0 {
			return true
		}
	}
}

// reply answers what came, and leaves what it does not at the front of q.in.
func (q *quick) reply(fd uintptr, came []byte) {
	buf, _ := q.of.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer q.of.buffers.Put(buf)
	now := time.Now()
	taken, out := q.of.ask(came, (*buf)[:0], now)
	*buf = out
	q.n = copy(q.in, came[taken:])
	if taken == 0 {
		return
	}
	if q.err = q.SetReadDeadline(now.Add(q.of.server.IdleTimeout)); q.err != nil {
		return
	}
	sent, err := sock.Send(fd, out)
	if err != nil && err != unix.EAGAIN {
		q.err = err
	}
	if sent < len(out) {
		q.rest = append(q.rest, out[sent:]...)
	}
}

// ask has the AtOnce answer. Where that meets a bug, the server answers, and meets it in a
// way that is seen.
func (l *quickListener) ask(in, out []byte, now time.Time) (taken int, answers []byte) {
	defer func() {
		if v := recover(); v != nil {
			l.server.Logger.Printf("answering at once panicked: %v", v)
			taken, answers = 0, out
		}
	}()
	return l.answer(in, out, l.clock.line(now))
}

func (q *quick) writeRest() error {
	if err := q.SetWriteDeadline(time.Now().Add(q.of.server.WriteTimeout)); err != nil {
		return err
	}
	_, err := q.Write(q.rest)
	return err
}

// dateClock has the header line Date, which is made once a second.
type dateClock struct {
	last atomic.Pointer[dateLine]
}

type dateLine struct {
	second int64
	line   []byte
}

func (c *dateClock) line(now time.Time) []byte {
	last := c.last.Load()
	if second := now.Unix(); last == nil || last.second != second {
		line := fasthttp.AppendHTTPDate([]byte("Date: "), now)
		last = &dateLine{second: second, line: append(line, "\r\n"...)}
		c.last.Store(last)
	}
	return last.line
}
