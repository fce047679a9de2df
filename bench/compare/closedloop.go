package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// closedLoop keeps as many requests in flight on each of its connections, all on one
// thread: what a load costs is taken from the servers beside it. Requests that follow one
// another on a connection before they are answered are pipelined (RFC 9112 section 9.3.2).
type closedLoop struct {
	conns  []*paceConn
	poll   poller
	next   func(conn int, out []byte) []byte // appends the next request of a connection
	answer int                               // bytes of an answer's body, at least

	out    []byte
	sent   [][]time.Time // on each connection, the requests that have no answer yet
	flying int           // requests
	took   []time.Duration
}

// connected has n requests in flight over as many connections to these servers, in turn.
// next appends the next request to one of them, and the body of its answer has atLeast bytes.
func connected(t harness.T, n int, at []*harness.Process, atLeast int, next func(host string, out []byte) []byte) keyed {
	t.Helper()
	return pipelined(t, n, n, at, atLeast, next)
}

// pipelined has n requests in flight over so many connections to these servers.
func pipelined(t harness.T, n, connections int, at []*harness.Process, atLeast int, next func(host string, out []byte) []byte) keyed {
	t.Helper()
	host := func(conn int) string { return at[conn%len(at)].HTTP }
	l := &closedLoop{
		answer: atLeast, sent: make([][]time.Time, connections),
		next: func(conn int, out []byte) []byte { return next(host(conn), out) },
	}
	for i := range n {
		c := i % connections
		l.sent[c] = append(l.sent[c], time.Time{})
	}
	if err := l.open(connections, host); err != nil {
		l.close()
		t.Fatal(err)
	}
	return keyed{Load: l.run, close: l.close}
}

func (l *closedLoop) open(n int, host func(int) string) error {
	if err := l.poll.open(n); err != nil {
		return err
	}
	for i := range n {
		c, err := dialPace(host(i))
		if err != nil {
			return fmt.Errorf("connection %d to %s: %w", i, host(i), err)
		}
		l.conns = append(l.conns, c)
		if err := l.poll.add(c.fd, i); err != nil {
			return err
		}
	}
	return nil
}

func (l *closedLoop) close() {
	for _, c := range l.conns {
		c.close()
	}
	l.poll.close()
}

// run sends until the span is over, and waits for what is in flight then.
func (l *closedLoop) run(s benchmark.Span) (took []time.Duration, err error) {
	done := make(chan struct{})
	go func() { // of its own, as its thread ends with it
		defer close(done)
		runtime.LockOSThread()
		err = l.loop(s)
	}()
	<-done
	return l.took, err
}

func (l *closedLoop) loop(s benchmark.Span) error {
	for i := range l.conns {
		depth := len(l.sent[i])
		l.sent[i] = l.sent[i][:0]
		if err := l.send(i, depth, time.Now()); err != nil {
			return err
		}
	}
	for heard := time.Now(); l.flying > 0; {
		const look = 50 * time.Millisecond // whether others have failed
		ready, err := l.poll.wait(look)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case len(ready) > 0:
			heard = now
		case s.Failed():
			return nil
		case now.Sub(heard) > harness.Patience:
			return fmt.Errorf("%d requests have had no answer for %v", l.flying, harness.Patience)
		}
		for _, e := range ready {
			if err := l.serve(e, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends that many requests in one go.
func (l *closedLoop) send(conn, n int, now time.Time) error {
	l.out = append(l.out[:0], l.conns[conn].unsent...)
	for range n {
		l.out = l.next(conn, l.out)
		l.sent[conn] = append(l.sent[conn], now)
	}
	l.flying += n
	return l.push(conn, l.out)
}

// push sends what there is room for, and watches for more where that is not all.
func (l *closedLoop) push(conn int, out []byte) error {
	c := l.conns[conn]
	watched := len(c.unsent) > 0
	if err := c.send(out); err != nil {
		return err
	}
	if watch := len(c.unsent) > 0; watch != watched {
		return l.poll.writable(c.fd, conn, watch)
	}
	return nil
}

// serve does what a connection is ready for.
func (l *closedLoop) serve(e syscall.EpollEvent, s benchmark.Span) error {
	conn := int(e.Fd)
	if e.Events&syscall.EPOLLOUT != 0 {
		if err := l.push(conn, l.conns[conn].unsent); err != nil {
			return err
		}
	}
	if e.Events&^syscall.EPOLLOUT == 0 {
		return nil
	}
	return l.receive(conn, s)
}

// receive reads from a connection. For each answer that is whole it sends another request.
func (l *closedLoop) receive(conn int, s benchmark.Span) error {
	c := l.conns[conn]
	came, err := c.receive(l.poll.buf)
	now, answered := time.Now(), 0
	for err == nil && len(came) > 0 {
		var done bool
		if done, came, err = c.take(came, l.answer); !done || err != nil {
			break
		}
		if answered == len(l.sent[conn]) {
			return errUnasked
		}
		if s.Counts(now) {
			l.took = append(l.took, now.Sub(l.sent[conn][answered]))
		}
		answered++
	}
	if err != nil || answered == 0 {
		return err
	}
	l.sent[conn] = append(l.sent[conn][:0], l.sent[conn][answered:]...)
	l.flying -= answered
	if s.Over(now) {
		return nil
	}
	return l.send(conn, answered, now)
}
