package lb

import (
	"context"
	"time"
)

// end closes a connection whose place is not given up; the lock is held.
func (p *pool) end(u *upstream) {
	delete(p.all, u)
	_ = u.Close()
}

// put gives a connection back that can serve again.
func (p *pool) put(u *upstream) {
	u.used = true
	rest := u.r.Buffered() + len(u.ahead) // would be taken for the next answer
	p.mu.Lock()
	defer p.mu.Unlock()
	u.breakable.Store(false) // under the lock: breakOff must not break the next request
	switch {
	case p.closed || p.open > p.limits.open || u.broken || rest > 0:
		p.lose(u)
	case len(p.waiting) > 0:
		p.grant(grant{u: u})
	case len(p.idle) >= p.limits.idle:
		p.lose(u)
	default:
		u.idle = time.Now()
		p.idle = append(p.idle, u)
	}
}

// drop closes a connection that must not serve again.
func (p *pool) drop(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose(u)
}

// lose closes a connection and lets a waiter dial in its place; the lock is held.
func (p *pool) lose(u *upstream) {
	p.end(u)
	p.open--
	p.letDial()
	p.review()
}

// sweep closes connections that have been idle for too long.
func (p *pool) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idle) > p.limits.idleFor {
		p.end(p.idle[n])
		n++
	}
	if n > 0 {
		p.open -= n
		p.idle = append(p.idle[:0], p.idle[n:]...)
		p.review()
	}
}

// close ends all idle connections; those in use end when they come back.
func (p *pool) close() {
	defer p.recall()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, u := range p.idle {
		p.end(u)
	}
	p.open -= len(p.idle)
	p.idle = nil
	p.dismiss(errPoolClosed)
	p.review()
}

// dismiss sends everyone away who waits for a connection or is opening one; the
// lock is held.
func (p *pool) dismiss(err error) {
	for len(p.waiting) > 0 {
		p.grant(grant{err: err})
	}
	p.waiting = nil
	p.endDials()
	p.dials, p.endDials = context.WithCancel(context.Background())
}

// breakOff breaks the connections that were claimed for it, sends those away
// who wait for one, and says how many it broke.
func (p *pool) breakOff() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dismiss(errPoolLeft)
	var n uint64
	for u := range p.all {
		if u.breakable.Load() && !u.broken {
			u.broken = true
			_ = u.Close()
			n++
		}
	}
	return n
}

// abort breaks every connection, those in use included.
func (p *pool) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
	for u := range p.all {
		_ = u.Close()
	}
}
