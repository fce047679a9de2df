package edge

import (
	"cmp"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// AtOnce answers requests of which it knows every byte. It appends the answers to those
// that in begins with to out, each with date, which is a whole header line, and says how
// many bytes of in they are. From the first request on that is another, or not whole, all
// is the server's. It must answer as the server would: nobody can tell who did. Unless
// wait is set it must not wait for anything; later says that it took nothing, and would
// have taken the first request with wait. A bug that it meets while it may wait ends the
// connection: nobody knows what was done.
type AtOnce func(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool)

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
	clock   DateClock
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
	q.step, q.more, q.date = q.once, q.receiveMore, q.dateLine
	return q, nil
}

// quick is a connection of a server with an AtOnce before it.
type quick struct {
	*counted
	of      *quickListener
	between bool                  // the last request is answered, and nothing of the next one was read
	step    func(fd uintptr) bool // once
	more    func(fd uintptr) bool // receiveMore
	date    func() []byte         // dateLine
	waiting atomic.Int32          // one of notWaiting, waits, waitsToClose

	in    []byte // what a read has to fill
	n     int    // how much of it is filled
	err   error
	rest  []byte // answers that the kernel had no room for
	later bool   // what is filled begins with a request that is answered with waiting
	now   time.Time
}

// What quick.waiting says: whether an answer is waited for, and whether the connection is
// to be closed behind it.
const (
	notWaiting = iota
	waits
	waitsToClose
)

// Read implements net.Conn. Requests that are answered at once are not seen.
func (q *quick) Read(p []byte) (int, error) {
	if !q.between || len(p) == 0 {
		return q.counted.Read(p)
	}
	for {
		q.in, q.n, q.err, q.rest, q.later = p, 0, nil, nil, false
		err := q.Raw().Read(q.step)
		q.in = nil
		switch {
		case err != nil && q.Early(err):
			continue
		case err != nil:
			return 0, err
		case q.err == nil && q.later:
			q.err = q.replyAll(p)
		case q.err == nil && len(q.rest) > 0:
			q.err = q.write(q.rest)
		}
		if q.err != nil {
			return 0, q.err
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
	buf := q.of.buffer()
	defer q.of.buffers.Put(buf)
	q.now = time.Now()
	taken, out, later, _ := q.of.ask(came, (*buf)[:0], q.date, false)
	*buf, q.later = out, later
	q.n = copy(q.in, came[taken:])
	if taken == 0 {
		return
	}
	if q.err = q.SetReadDeadline(q.now.Add(q.of.server.IdleTimeout)); q.err != nil {
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

// replyAll is replyLater, and again as long as there is more to answer: p may hold a part
// of what a client pipelines, and end within a request. The server would answer that, and
// all behind it, one by one. What has not come is not waited for: that has a deadline of
// the server's.
func (q *quick) replyAll(p []byte) error {
	for q.later {
		if err := q.replyLater(p); err != nil || q.n == 0 {
			return err
		}
		q.in, q.later = p, false
		err := q.Raw().Read(q.more)
		q.in = nil
		if err = cmp.Or(err, q.err); err != nil {
			return err
		}
		if len(q.rest) > 0 {
			if err := q.write(q.rest); err != nil {
				return err
			}
			q.rest = q.rest[:0]
		}
	}
	return nil
}

// receiveMore puts what is there behind what is left in q.in, and answers what it can.
// The server meets an end, or an error, again.
func (q *quick) receiveMore(fd uintptr) (done bool) {
	came := q.in[:q.n]
	if room := q.in[q.n:]; len(room) > 0 {
		if n, err := sock.Receive(fd, room); err == nil {
			came = q.in[:q.n+n]
		}
	}
	q.reply(fd, came)
	return true
}

// replyLater waits for the answers to what p begins with, and leaves the rest there. A
// server that shuts down takes the connection for an idle one: it is closed behind the
// answer.
func (q *quick) replyLater(p []byte) error {
	q.waiting.Store(waits)
	buf := q.of.buffer()
	taken, out, _, err := q.of.ask(p[:q.n], (*buf)[:0], q.date, true)
	q.n = copy(p, p[taken:q.n])
	q.now = time.Now()
	if err == nil {
		err = q.SetReadDeadline(q.now.Add(q.of.server.IdleTimeout))
	}
	if err == nil && len(out) > 0 {
		err = q.write(out)
	}
	if *buf = out; cap(out) <= bufferMost {
		q.of.buffers.Put(buf)
	}
	if !q.waiting.CompareAndSwap(waits, notWaiting) {
		return net.ErrClosed
	}
	return err
}

// Close implements net.Conn.
func (q *quick) Close() error {
	if q.waiting.CompareAndSwap(waits, waitsToClose) {
		return nil // the server closes it again when the read has ended
	}
	return q.counted.Close()
}

// errBug ends a connection whose request was perhaps carried out, and perhaps not.
var errBug = errors.New("a bug was met while an answer was waited for")

// ask has the AtOnce answer. Where that meets a bug at once, the server answers, and meets
// it in a way that is seen. After a wait it does not: what was asked for may have
// been carried out, and would be again.
func (l *quickListener) ask(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.server.Logger.Printf("answering at once panicked: %v", v)
			taken, answers, later = 0, out, false
			if wait {
				err = errBug
			}
		}
	}()
	taken, answers, later = l.answer(in, out, date, wait)
	return taken, answers, later, nil
}

// bufferMost is the most memory that is kept for a later answer.
const bufferMost = 256 << 10

func (l *quickListener) buffer() *[]byte {
	if buf, ok := l.buffers.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

func (q *quick) write(answers []byte) error {
	if err := q.SetWriteDeadline(time.Now().Add(q.of.server.WriteTimeout)); err != nil {
		return err
	}
	_, err := q.Write(answers)
	return err
}

// dateLine is the header line of an answer that is ready now.
func (q *quick) dateLine() []byte {
	if q.waiting.Load() != notWaiting { // it took a while
		q.now = time.Now()
	}
	return q.of.clock.Line(q.now)
}
