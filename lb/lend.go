package lb

import "github.com/dengine/dengine/internal/edge/sock"

// lend gives a worker an idle connection that has served before, as a descriptor of its
// own; nil: there is none. It counts as open until it is regained and put back, or dropped.
func (p *pool) lend() (*upstream, int) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if p.closed || n == 0 {
			p.mu.Unlock()
			return nil, -1
		}
		u := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if fd, err := sock.Duplicate(u.Raw()); err == nil && u.r.Buffered() == 0 {
			_ = u.Conn.Close() // the descriptor stays open
			return u, fd
		}
		p.drop(u)
	}
}

// regain makes the descriptor of a connection that was lent, which it closes, the
// connection again.
func (p *pool) regain(u *upstream, fd int) error {
	c, err := sock.ConnOf(fd)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.attach(c); p.aborted {
		_ = u.Close()
	}
	return nil
}

// review says to workers whether they may keep what they were lent; the lock is held.
func (p *pool) review() {
	p.wants.Store(p.closed || len(p.waiting) > 0 || p.open > p.limits.open)
}

// recall asks workers for idle connections that somebody waits for, or that are to end.
func (p *pool) recall() {
	if p.ask != nil && p.wants.Load() {
		p.ask()
	}
}
