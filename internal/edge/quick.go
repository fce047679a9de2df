package edge

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// AtOnce answers requests of which it knows every byte, past the server. It must answer as
// that would: nobody can tell who did.
type AtOnce interface {
	// Now appends the answers to those requests that in begins with to out, each with date,
	// which is a whole header line, and says how many bytes of in they are and what is to
	// become of what is behind them. It must not wait for anything.
	Now(in, out, date []byte) (taken int, answers []byte, next Next)
	// Length is a Length, of requests behind which Now or Later may answer others.
	Length(in []byte) (size int, part bool)
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
	s.ConnState = VisitState
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
	return q.newVisit(counted, nil, Stay{}), nil
}

// Drain ends the connections of loops, each behind the answer that it waits for, and from now
// on those of the server as well between two requests. It returns when none is left
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
		l.Post(func() {
			l.ends = true
			l.Stop()
		})
	}
	q.wg.Wait()
	q.later.Wait()
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
		_ = q.server.ServeConn(q.newVisit(s.conn, s.in, s.stay)) // what went wrong is in the answer
	}()
}

// date is the header line of an answer that is ready now.
func (q *Quick) date() []byte { return q.clock.Line(time.Now()) }

// quickVisit is a connection's visit of the server.
type quickVisit struct {
	Visit
	of   *Quick
	conn *counted // whose place the connection takes
	stay Stay
}

func (q *Quick) newVisit(c *counted, in []byte, stay Stay) *quickVisit {
	v := &quickVisit{of: q, conn: c, stay: stay}
	v.Conn, v.In, v.Host, v.end.length = c.Conn, in, v, q.length
	return v
}

// length is the AtOnce's. Where that meets a bug, nothing is known of the request.
func (q *Quick) length(in []byte) (size int, part bool) {
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("looking for a request's end panicked", zap.Any("panic", v), zap.Stack("stack"))
			size, part = 0, false
		}
	}()
	return q.answer.Length(in)
}

// MayLeave implements Host.
func (v *quickVisit) MayLeave() bool {
	if v.of.drains.Load() {
		return len(v.In) == 0
	}
	return !v.stay.GoesOn()
}

// Leave implements Host: a loop takes over.
func (v *quickVisit) Leave(fd int) {
	l := v.of.loops[int(v.of.next.Add(1))%len(v.of.loops)]
	s := &quickSeat{loop: l, conn: v.conn, fd: fd, stay: v.stay, in: bytes.Clone(v.In), look: len(v.In) > 0}
	if !l.Post(s.sit) {
		s.part()
	}
}

// Ended implements Host.
func (v *quickVisit) Ended() { v.conn.forget() }
