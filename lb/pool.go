package lb

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

var (
	errPoolClosed = errors.New("backend was removed")
	errPoolBusy   = errors.New("all connections to the backend are in use")
)

// poolLimits bound a pool. See Config.
type poolLimits struct {
	open       int
	idle       int
	idleFor    time.Duration
	bufferSize int
}

// pool holds the connections to one backend. The one used last is used next, so
// that the others grow old and are closed.
type pool struct {
	addr string

	mu      sync.Mutex
	limits  poolLimits
	closed  bool
	open    int
	all     map[*upstream]struct{} // open ones, in use or idle
	idle    []*upstream
	waiting []chan *upstream // each gets a connection, or nil for leave to dial, or is closed
}

func newPool(addr string, l poolLimits) *pool {
	return &pool{addr: addr, limits: l, all: make(map[*upstream]struct{})}
}

func (p *pool) configure(l poolLimits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
}

// get returns an idle connection, or dials one, or waits for one to become
// free; all of it takes until the deadline at most. dial asks for a new
// one. ctx ends a dial early.
func (p *pool) get(ctx context.Context, deadline time.Time, dial bool) (*upstream, error) {
	for {
		u, wait, err := p.take(dial)
		switch {
		case err != nil:
			return nil, err
		case wait != nil:
			if u, err = p.await(wait, deadline); err != nil {
				return nil, err
			}
		}
		if u == nil {
			return p.dial(ctx, deadline)
		}
		if !u.fresh() {
			p.drop(u)
			continue
		}
		u.wrote = false
		return u, nil
	}
}

// take returns an idle connection, or nothing for leave to dial, or a channel
// to wait on.
func (p *pool) take(fresh bool) (*upstream, chan *upstream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errPoolClosed
	}
	if n := len(p.idle); n > 0 {
		u := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		if !fresh {
			return u, nil, nil
		}
		// A new one is wanted: it takes the place of this one.
		p.end(u)
		return nil, nil, nil
	}
	if p.open < p.limits.open {
		p.open++
		return nil, nil, nil
	}
	wait := make(chan *upstream, 1)
	p.waiting = append(p.waiting, wait)
	return nil, wait, nil
}

func (p *pool) await(wait chan *upstream, deadline time.Time) (*upstream, error) {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case u, open := <-wait:
		return served(u, open)
	case <-t.C:
	}
	p.mu.Lock()
	for i, w := range p.waiting {
		if w == wait {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return nil, errPoolBusy
		}
	}
	p.mu.Unlock()
	u, open := <-wait // it was served at the last moment
	return served(u, open)
}

func served(u *upstream, open bool) (*upstream, error) {
	if !open {
		return nil, errPoolClosed
	}
	return u, nil
}

func (p *pool) dial(ctx context.Context, deadline time.Time) (*upstream, error) {
	d := net.Dialer{Deadline: deadline}
	c, err := d.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		p.gone()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := newUpstream(c, p.limits.bufferSize)
	p.all[u] = struct{}{}
	return u, nil
}

// end closes a connection whose place is not given up; the lock is held.
func (p *pool) end(u *upstream) {
	delete(p.all, u)
	_ = u.Close()
}

// put gives a connection back that can serve again.
func (p *pool) put(u *upstream) {
	u.used = true
	p.mu.Lock()
	if p.closed || p.open > p.limits.open {
		p.mu.Unlock()
		p.drop(u)
		return
	}
	if len(p.waiting) > 0 {
		p.waiting[0] <- u
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		return
	}
	if len(p.idle) >= p.limits.idle {
		p.mu.Unlock()
		p.drop(u)
		return
	}
	u.idle = time.Now()
	p.idle = append(p.idle, u)
	p.mu.Unlock()
}

// drop closes a connection that must not serve again.
func (p *pool) drop(u *upstream) {
	p.mu.Lock()
	p.end(u)
	p.mu.Unlock()
	p.gone()
}

// gone counts a connection out and lets a waiter dial in its place.
func (p *pool) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 && !p.closed && p.open <= p.limits.open {
		p.waiting[0] <- nil
		p.waiting = p.waiting[1:]
		return
	}
	p.open--
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
	}
}

// size is how many connections are open, in use or idle.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// close ends all idle connections; those in use end when they come back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, u := range p.idle {
		p.end(u)
	}
	p.open -= len(p.idle)
	p.idle = nil
	for _, w := range p.waiting {
		close(w)
	}
	p.waiting = nil
}

// abort breaks every connection, those in use included.
func (p *pool) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for u := range p.all {
		_ = u.Close()
	}
}
