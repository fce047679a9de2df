package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// AtOnce answers requests of which it knows every byte, past the server. It must answer as
// that would: nobody can tell who did.
type AtOnce interface {
	// Now appends the answers to those requests that in begins with to out, each with date,
	// which is a whole header line, and says how many bytes of in they are and what is to
	// become of what is behind them. It must not wait for anything.
	Now(in, out, date []byte) (taken int, answers []byte, next Next)
	// Later replies to all asks, whose requests Now has said the same of, and which all came
	// before it is called. It may wait. date is of now, whenever it is called.
	Later(what Next, asks []Ask, date func() []byte)
}

// Next is what is to become of the request behind those that were answered.
type Next int

// What Next says.
const (
	NextRead   Next = iota // Later answers it, together with others
	NextWrite              // so it does, apart from those
	NextServed             // it is the server's, or there is none
	NextPart               // more of it has to come
	NextAgain              // it may be answered once what was answered is sent
	laterKinds = NextWrite + 1
)

// Quick puts an AtOnce before a server. Loops serve the connections whose last request is
// answered: they see what comes before the server does, and give it a connection that has
// anything else to say. The first request of a connection is always the server's, which
// takes one that leaves for one that has ended.
type Quick struct {
	net.Listener
	server *fasthttp.Server
	answer AtOnce
	log    *zap.Logger
	clock  DateClock
	loops  []*quickLoop
	next   atomic.Uint32
	drains atomic.Bool
	asks   sync.Pool      // *asks
	later  sync.WaitGroup // of calls of AtOnce.Later
	visits sync.WaitGroup // of connections that loops gave back to the server
	wg     sync.WaitGroup // of loops
}

// NewQuick returns a Quick of what LimitConns returned, which serves from now on with so
// many loops, and until End.
func NewQuick(ln net.Listener, s *fasthttp.Server, answer AtOnce, loops int, log *zap.Logger) (*Quick, error) {
	s.ConnState = func(c net.Conn, state fasthttp.ConnState) {
		if v, ok := c.(*quickVisit); ok && (state == fasthttp.StateIdle || state == fasthttp.StateActive) { // both said by who reads
			v.between = state == fasthttp.StateIdle
		}
	}
	q := &Quick{Listener: ln, server: s, answer: answer, log: log, asks: sync.Pool{New: func() any { return new(asks) }}}
	for range loops {
		l, err := newQuickLoop(q)
		if err != nil {
			q.End()
			return nil, fmt.Errorf("serve many connections at once: %w", err)
		}
		q.loops = append(q.loops, l)
		q.wg.Go(l.run)
	}
	return q, nil
}

// Accept implements net.Listener.
func (q *Quick) Accept() (net.Conn, error) {
	c, err := q.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counted, ok := c.(*counted)
	if !ok || counted.Raw() == nil || len(q.loops) == 0 {
		return c, nil
	}
	return &quickVisit{counted: counted, of: q}, nil
}

// Drain ends the connections of loops, each behind the answer that it waits for, and from now
// on those of the server as well when it waits for a request. It returns when none is left
// that a loop has, or had and gave back, or when ctx ends.
func (q *Quick) Drain(ctx context.Context) {
	q.drains.Store(true)
	var all []chan struct{}
	for _, l := range q.loops {
		gone := make(chan struct{})
		if l.Post(func() { l.drain(gone) }) {
			all = append(all, gone)
		}
	}
	for _, gone := range all {
		select {
		case <-gone:
		case <-ctx.Done():
			return
		}
	}
	visited := make(chan struct{})
	go func() { // ends with the connections, for which the server has timeouts
		q.visits.Wait()
		close(visited)
	}()
	select {
	case <-visited:
	case <-ctx.Done():
	}
}

// End ends the loops and the connections that they have, once Later has returned. It may
// be called more than once.
func (q *Quick) End() {
	q.drains.Store(true)
	for _, l := range q.loops {
		l.Post(l.Stop)
	}
	q.wg.Wait()
	q.later.Wait()
}

// move gives the connection of a visit that is over to a loop.
func (q *Quick) move(v *quickVisit) {
	l := q.loops[int(q.next.Add(1))%len(q.loops)]
	s := &quickSeat{loop: l, conn: v.counted, fd: v.fd, stay: v.stay}
	if !l.Post(s.sit) {
		s.part()
	}
}

// readmit gives the server a connection that a loop has had, with what has come of its
// next request.
func (q *Quick) readmit(s *quickSeat) {
	go func() {
		defer q.visits.Done()
		c, err := sock.ConnOf(s.fd)
		if err != nil {
			q.log.Warn("a client's connection was lost on its way to the server", zap.Error(err))
			s.conn.forget()
			return
		}
		s.conn.Conn = sock.New(c)
		_ = q.server.ServeConn(&quickVisit{counted: s.conn, of: q, in: s.in, stay: s.stay}) // what went wrong is in the answer
	}()
}

// date is the header line of an answer that is ready now.
func (q *Quick) date() []byte { return q.clock.Line(time.Now()) }

// quickVisit is one stay of a connection with the server. It ends with the connection, or
// between two requests, when a loop takes over.
type quickVisit struct {
	*counted
	of    *Quick
	state atomic.Int32 // one of visiting, leaving and left

	// These belong to the server's goroutine.
	in      []byte // what a loop has read comes first
	between bool   // the last request is answered, and nothing of the next one was read
	stay    stay
	fd      int // the connection's, for the loop, from leaving on
}

// What quickVisit.state says.
const (
	visiting = iota
	leaving  // for a loop; the server does not know, and takes it for the connection's end
	left
)

// Read implements net.Conn. Where a loop is to take over, it says that the connection has
// ended.
func (v *quickVisit) Read(p []byte) (int, error) {
	switch {
	case len(v.in) > 0:
		n := copy(p, v.in)
		v.in = v.in[n:]
		return n, nil
	case v.between && (v.of.drains.Load() || v.mayLeave()):
		return 0, io.EOF
	}
	return v.counted.Read(p)
}

// mayLeave prepares for a loop to take over, and says whether it will.
func (v *quickVisit) mayLeave() bool {
	if v.stay.goesOn() {
		return false
	}
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

// Close implements net.Conn. It ends the visit, and the connection only if no loop takes
// over.
func (v *quickVisit) Close() error {
	if v.state.CompareAndSwap(leaving, left) {
		err := v.Conn.Close()
		v.of.move(v)
		return err
	}
	if v.state.CompareAndSwap(visiting, left) {
		return v.counted.Close()
	}
	return net.ErrClosed
}

// stay is how many requests of a connection are the server's before a loop has it again:
// more each time that the loop had to give it back, unless it had served many before.
type stay struct{ left, last int }

// maxStay bounds what sentBack makes of many requests that a loop does not know.
const maxStay = 63

func (s *stay) goesOn() bool {
	if s.left == 0 {
		return false
	}
	s.left--
	return true
}

// sentBack notes that a loop gave the connection back after so many requests.
func (s *stay) sentBack(served uint64) {
	if served > maxStay {
		s.last = 0
	}
	s.last = min(2*s.last+1, maxStay)
	s.left = s.last
}
