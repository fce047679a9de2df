package lb

import (
	"sync/atomic"
	"time"
)

// lookEvery is how often a held request looks whether its client is still there,
// and a read that waits for its answer whether its node can still serve it.
const lookEvery = 100 * time.Millisecond

// How often a backend is asked again at most that could not take a request but
// still seems to be the one for it, and one that said that it has too much to do
// or that broke under the request.
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
	if x.holds == 0 {
		b.held.total.Add(1)
	}
	restUntil := began.Add(x.rest())
	last, reign := x.backend, x.reign
	x.tried = x.tried[:0]
	x.holds = min(x.holds+1, 10)
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		v := b.registry.view.Load()
		pause := lookEvery
		be := b.pick(x, v)
		switch {
		case be == nil:
			x.err, x.pushback = nil, nil // now it is for want of a backend that it waits
		case x.leaderOnly() && (be != last || x.reign != reign):
			restUntil = time.Time{} // it is another backend that rests
			fallthrough
		default:
			rest := time.Until(restUntil)
			if rest <= 0 {
				return be, b.stays(x)
			}
			pause = min(pause, rest)
		}
		left := time.Until(x.holdUntil)
		if left <= 0 {
			return nil, waitExpired
		}
		look.Reset(min(left, pause))
		select {
		case <-v.changed:
		case <-b.overdue:
			return nil, waitExpired
		case <-look.C:
			if w := b.stays(x); w != waitReady {
				return nil, w
			}
		}
	}
}

// rest is how long the backend of the last attempt is left alone: one that seems
// to be the right one and yet does not take the request is asked ever more
// rarely. Another leader is asked at once.
func (x *exchange) rest() time.Duration {
	if x.holds == 0 {
		return 0
	}
	most := askEvery
	if x.pushback != nil || x.strained {
		most = askPushing
	}
	return min(time.Millisecond<<x.holds, most)
}

// stays looks whether the client of a request that is to be sent is still there.
func (b *Balancer) stays(x *exchange) waited {
	if clientLeft(x.ctx.Conn()) {
		b.held.dropped.Add(1)
		return waitLeft
	}
	return waitReady
}

// attend waits for ch until a time at most, and looks after the client. Where
// the client has left, what came is returned all the same.
func attend[T any](b *Balancer, x *exchange, ch <-chan T, until time.Time) (got T, w waited) {
	began := time.Now()
	defer func() { x.held += time.Since(began) }()
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		left := time.Until(until)
		if left <= 0 {
			return got, waitExpired
		}
		look.Reset(min(left, lookEvery))
		select {
		case got = <-ch:
			return got, b.stays(x)
		case <-b.overdue:
			return got, waitExpired
		case <-look.C:
			if w := b.stays(x); w != waitReady {
				return got, w
			}
		}
	}
}
