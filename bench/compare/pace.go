package main

import (
	"fmt"
	"runtime"
	"time"
)

// pace is an open loop: each request is due at a time that is set beforehand,
// whether or not those before it have been answered, and its latency counts from
// then. A closed loop sends nothing while it waits, and so leaves out of its
// percentiles those who would have met a stall ("coordinated omission").
//
// Request i is due i/rate after the start, on connection i modulo their number; a
// connection carries one request at a time, so that one may have to wait for those
// before it.
type pace struct {
	addr        string
	request     []byte // as it goes on the wire
	answer      int    // bytes of an answer's body, at least
	connections int
	rate        float64 // requests a second, over all connections
	warmUp      time.Duration
	length      time.Duration // what is due within it counts
}

// paced is what a pace found.
type paced struct {
	took     []time.Duration // of every request that counts; so far, of one that had no answer in the end
	answered int             // those of the warm-up too
	late     int             // how many of took had no answer in the end
}

// grace is how long answers are waited for when nothing is due any more.
const grace = 250 * time.Millisecond

// due is when a request is, from the start.
func (p pace) due(i int) time.Duration {
	return time.Duration(float64(i) / p.rate * float64(time.Second))
}

// end is from when on nothing is due any more.
func (p pace) end() time.Duration { return p.warmUp + p.length }

// counts says whether a request is due within the time that is measured.
func (p pace) counts(i int) bool { return p.due(i) >= p.warmUp && p.due(i) < p.end() }

// pacer is a pace under way.
type pacer struct {
	pace
	conns []*paceConn
	poll  poller
	next  int // the first request that was not due when it was looked at last
	found paced
}

// run sends the requests. An answer that is no success ends it with an error, since
// what fails is not fast; so does a connection that ends.
func (p pace) run() (found paced, err error) {
	done := make(chan struct{})
	go func() { // of its own, as its thread ends with it
		defer close(done)
		runtime.LockOSThread() // see poller
		found, err = p.loop()
	}()
	<-done
	return found, err
}

func (p pace) loop() (paced, error) {
	r := &pacer{pace: p}
	r.found.took = make([]time.Duration, 0, int(p.rate*p.length.Seconds())+1)
	defer r.close()
	if err := r.dial(); err != nil {
		return paced{}, err
	}
	start := time.Now()
	for {
		now := time.Since(start)
		if err := r.sendDue(now); err != nil {
			return paced{}, err
		}
		wake := r.due(r.next)
		if wake >= r.end() {
			if wake = r.end() + grace; now >= wake || r.found.answered == r.next {
				r.giveUp(now)
				return r.found, nil
			}
		}
		ready, err := r.poll.wait(wake - now)
		if err != nil {
			return paced{}, err
		}
		for _, c := range ready {
			if err := r.receive(r.conns[c.Fd], start); err != nil {
				return paced{}, err
			}
		}
	}
}

// sendDue sends what has become due, where the connection is free.
func (r *pacer) sendDue(now time.Duration) error {
	for ; r.due(r.next) <= now && r.due(r.next) < r.end(); r.next++ {
		c := r.conns[r.next%r.connections]
		if c.current == r.next { // else one before it has no answer yet
			if err := r.send(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends a connection's request: it is short, and must go out whole.
func (r *pacer) send(c *paceConn) error {
	err := c.send(r.request)
	if err == nil && len(c.unsent) > 0 {
		err = fmt.Errorf("%d of %d B are not sent", len(c.unsent), len(r.request))
	}
	if err != nil {
		return fmt.Errorf("request %d: %w", c.current, err)
	}
	return nil
}

// receive reads from a connection. Once its answer is whole, it sends what has been
// waiting for that.
func (r *pacer) receive(c *paceConn, start time.Time) error {
	done, behind := false, []byte(nil)
	came, err := c.receive(r.poll.buf)
	if err == nil && len(came) > 0 {
		done, behind, err = c.take(came, r.answer)
	}
	if err == nil && len(behind) > 0 {
		err = errUnasked
	}
	if err == nil && done {
		r.book(c, time.Since(start))
		if c.current < r.next {
			return r.send(c)
		}
	}
	if err != nil {
		return fmt.Errorf("request %d: %w", c.current, err)
	}
	return nil
}

// book books the answer to a connection's request, whose next one it is then.
func (r *pacer) book(c *paceConn, now time.Duration) {
	r.found.answered++
	if r.counts(c.current) {
		r.found.took = append(r.found.took, now-r.due(c.current))
	}
	c.current += r.connections
}

// giveUp books what was due and has no answer, sent or not.
func (r *pacer) giveUp(now time.Duration) {
	for _, c := range r.conns {
		for ; c.current < r.next; c.current += r.connections {
			if r.counts(c.current) {
				r.found.took = append(r.found.took, now-r.due(c.current))
				r.found.late++
			}
		}
	}
}

// dial opens the connections; the first request of the nth one is the nth.
func (r *pacer) dial() error {
	if err := r.poll.open(r.connections); err != nil {
		return err
	}
	for i := range r.connections {
		c, err := dialPace(r.addr)
		if err != nil {
			return fmt.Errorf("connection %d to %s: %w", i, r.addr, err)
		}
		c.current = i
		r.conns = append(r.conns, c)
		if err := r.poll.add(c.fd, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *pacer) close() {
	for _, c := range r.conns {
		c.close()
	}
	r.poll.close()
}
