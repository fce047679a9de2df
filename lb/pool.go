package lb

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errPoolClosed = errors.New("backend was removed")
	errPoolBusy   = errors.New("all connections to the backend are in use")
	errPoolLeft   = errors.New("another backend leads now")
)

// maxDials is how many connections to one backend are opened at once. A new
// leader that gets all the writes that waited for it must not spend its first
// moments on a thousand handshakes: most are answered sooner over the first few.
const maxDials = 64

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
	aborted bool                   // what workers still have ends when it comes back
	open    int                    // those that are being opened included
	dialing int                    // being opened now
	all     map[*upstream]struct{} // open ones, in use or idle
	idle    []*upstream
	waiting []chan grant

	dials    context.Context // of those that open one now
	endDials context.CancelFunc

	wants atomic.Bool // what workers have is to come back
	ask   func()      // tells them; nil: there are none
}

// grant is what one who waits is given: a connection, or leave to dial where
// there is neither that nor an error.
type grant struct {
	u   *upstream
	err error
}

func newPool(addr string, l poolLimits) *pool {
	p := &pool{addr: addr, limits: l, all: make(map[*upstream]struct{})}
	p.dials, p.endDials = context.WithCancel(context.Background())
	return p
}

func (p *pool) configure(l poolLimits) {
	p.mu.Lock()
	p.limits = l
	p.review()
	p.mu.Unlock()
	p.recall()
}

// get returns a connection that is fit for a request, as next does.
func (p *pool) get(ctx context.Context, deadline time.Time, dial bool) (*upstream, error) {
	for {
		u, err := p.next(ctx, deadline, dial)
		if err != nil || !u.used || u.fresh() {
			return u, err
		}
		p.drop(u)
	}
}

// next returns an idle connection, or dials one, or waits for one to become
// free; all of it takes until the deadline at most. dial asks for a new
// one. ctx ends a dial early. An idle one may be stale.
func (p *pool) next(ctx context.Context, deadline time.Time, dial bool) (*upstream, error) {
	u, wait, err := p.take(dial)
	switch {
	case err != nil:
		return nil, err
	case wait != nil:
		p.recall()
		if u, err = p.await(wait, deadline); err != nil {
			return nil, err
		}
	}
	if u == nil {
		return p.dial(ctx, deadline)
	}
	u.wrote = false
	return u, nil
}

// take returns an idle connection, or nothing for leave to dial, or a channel
// to wait on.
func (p *pool) take(fresh bool) (*upstream, chan grant, error) {
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
		p.dialing++
		return nil, nil, nil
	}
	if p.mayDial() {
		p.open++
		p.dialing++
		return nil, nil, nil
	}
	wait := make(chan grant, 1)
	p.waiting = append(p.waiting, wait)
	p.review()
	return nil, wait, nil
}

// spareFrom is how many connections there may be for one of them to be kept for bundles.
const spareFrom = 4

// spare returns an idle connection that has served before, for a bundle; nil: there is
// none to spare.
func (p *pool) spare() *upstream {
	p.mu.Lock()
	n := len(p.idle)
	if p.closed || n == 0 || p.limits.open < spareFrom {
		p.mu.Unlock()
		return nil
	}
	u := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	p.mu.Unlock()
	if !u.fresh() {
		p.drop(u)
		return nil
	}
	return u
}

// mayDial says whether another connection may be opened now; the lock is held.
func (p *pool) mayDial() bool { return p.open < p.limits.open && p.dialing < maxDials }

// letDial gives those who wait leave to dial, as far as there is room; the lock
// is held.
func (p *pool) letDial() {
	for len(p.waiting) > 0 && !p.closed && p.mayDial() {
		p.open++
		p.dialing++
		p.grant(grant{})
	}
}

// grant serves the one who has waited longest; the lock is held.
func (p *pool) grant(g grant) {
	p.waiting[0] <- g
	p.waiting = p.waiting[1:]
	p.review()
}

func (p *pool) await(wait chan grant, deadline time.Time) (*upstream, error) {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case g := <-wait:
		return g.u, g.err
	case <-t.C:
	}
	p.mu.Lock()
	if i := slices.Index(p.waiting, wait); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.review()
		p.mu.Unlock()
		return nil, errPoolBusy
	}
	p.mu.Unlock()
	g := <-wait // it was served at the last moment
	return g.u, g.err
}

func (p *pool) dial(ctx context.Context, deadline time.Time) (*upstream, error) {
	p.mu.Lock()
	dials := p.dials
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(dials, cancel)()
	d := net.Dialer{Deadline: deadline}
	c, err := d.DialContext(ctx, "tcp", p.addr)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	defer p.letDial()
	if err != nil {
		p.open--
		p.review()
		if dials.Err() != nil {
			err = errPoolLeft
		}
		return nil, err
	}
	u := newUpstream(c, p.limits.bufferSize)
	p.all[u] = struct{}{}
	return u, nil
}

// size is how many connections are open, in use or idle.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}
