package lb

import (
	"sync/atomic"
	"time"
)

// lookEvery is how often a held request looks whether its client is still there.
const lookEvery = 100 * time.Millisecond

// How often a backend is asked again at most that could not take a request but
// still seems to be the one for it, and one that said that it has too much to do.
const (
	askEvery   = 50 * time.Millisecond
	askPushing = time.Second
)

// budget bounds the requests that wait for a backend.
type budget struct {
	requests atomic.Int64
	bytes    atomic.Int64
	total    atomic.Uint64 // requests that had to wait, ever
	dropped  atomic.Uint64 // of those, the ones whose client left
	refused  atomic.Uint64 // requests that found it full
}

// take reserves room for one request, or says that there is none.
func (b *budget) take(size int, cfg *Config) bool {
	if b.requests.Add(1) > int64(cfg.HoldRequests) {
		b.requests.Add(-1)
		b.refused.Add(1)
		return false
	}
	if b.bytes.Add(int64(size)) > int64(cfg.HoldBytes) {
		b.give(size)
		b.refused.Add(1)
		return false
	}
	return true
}

func (b *budget) give(size int) {
	b.requests.Add(-1)
	b.bytes.Add(-int64(size))
}

// waited is how a wait ended.
type waited uint8

const (
	waitReady   waited = iota // there is a backend, and the client is still there
	waitExpired               // the hold time, or the balancer's own time, is over
	waitFull                  // too many wait already
	waitLeft                  // the client is gone
)

// hold waits until pick finds a backend. The client's socket is looked at every
// now and then, to give the room of those that left to others, and once more at
// the end: what its sender no longer waits for must not be executed.
func (b *Balancer) hold(x *exchange) (*backend, waited) {
	size := len(x.head) + len(x.body)
	if !b.held.take(size, &x.set.cfg) {
		return nil, waitFull
	}
	began := time.Now()
	defer func() {
		b.held.give(size)
		x.held += time.Since(began)
	}()
	x.tried = x.tried[:0]
	// A backend that keeps saying it leads and keeps refusing is asked ever
	// more rarely.
	if x.holds == 0 {
		b.held.total.Add(1)
	} else {
		most := askEvery
		if x.pushback != nil {
			most = askPushing
		}
		if w := b.pause(x, min(time.Millisecond<<x.holds, most)); w != waitReady {
			return nil, w
		}
	}
	x.holds = min(x.holds+1, 10)
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		v := b.registry.view.Load()
		if be := b.pick(x, v); be != nil {
			if clientLeft(x.ctx.Conn()) {
				b.held.dropped.Add(1)
				return nil, waitLeft
			}
			return be, waitReady
		}
		x.err, x.pushback = nil, nil // now it is for want of a backend that it waits
		left := time.Until(x.holdUntil)
		if left <= 0 {
			return nil, waitExpired
		}
		look.Reset(min(left, lookEvery))
		select {
		case <-v.changed:
		case <-b.overdue:
			return nil, waitExpired
		case <-look.C:
			if clientLeft(x.ctx.Conn()) {
				b.held.dropped.Add(1)
				return nil, waitLeft
			}
		}
	}
}

// pause waits before a backend is asked again; a change of the routes ends the
// wait for one that pushes back.
func (b *Balancer) pause(x *exchange, d time.Duration) waited {
	t := time.NewTimer(max(0, min(d, time.Until(x.holdUntil))))
	defer t.Stop()
	var changed <-chan struct{}
	if x.pushback != nil {
		changed = b.registry.view.Load().changed
	}
	select {
	case <-t.C:
	case <-changed:
	case <-b.overdue:
		return waitExpired
	}
	if !time.Now().Before(x.holdUntil) {
		return waitExpired
	}
	return waitReady
}
