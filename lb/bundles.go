package lb

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	// bundleFrom is how many requests must be under way to a backend for writes to go in
	// bundles: fewer gain nothing by it.
	bundleFrom = 2
	// How long a backend is not asked for a bundle after it gave none: twice as long each
	// time.
	bundlePauseLeast = time.Second
	bundlePauseMost  = 10 * time.Second
)

// bundles is the bundle to one backend, if there is one, and whether to ask for one.
type bundles struct {
	pool  *pool
	start func(func()) // runs a bundle; its owner waits for it
	log   *zap.Logger

	rides atomic.Uint64 // writes answered in bundles

	mu      sync.Mutex
	open    *bundle
	opening bool
	ended   bool
	pause   time.Duration // the next one
	until   time.Time     // of the pause now
}

// join puts a write that begins now on the bundle, if there is one, and says at which
// place of which. The claim is as on a connection of its own: breakOff ends the bundle
// once the View has changed, and so whoever joined before that is told.
func (s *bundles) join(r *ride, c claim) (b *bundle, at uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.open; b == nil {
		s.seek(r.since, c)
		return nil, 0, nil
	}
	if !c.holds() {
		return nil, 0, errPoolLeft
	}
	if n := len(b.free); n > 0 {
		at = b.free[n-1]
		b.free = b.free[:n-1]
	} else if at = uint32(len(b.places)); at < edge.MaxPlaces {
		b.places = append(b.places, nil)
	} else {
		return nil, 0, nil
	}
	b.places[at] = r
	return b, at, nil
}

// seek opens a bundle beside what is under way, where it is time to; the lock is held.
func (s *bundles) seek(now time.Time, c claim) {
	if s.opening || s.ended || now.Before(s.until) {
		return
	}
	u := s.pool.spare()
	if u == nil {
		return
	}
	s.opening = true
	u.breakable.Store(true)
	s.start(func() {
		b := &bundle{of: s, u: u}
		err := errPoolLeft
		if c.holds() {
			err = b.begin()
		}
		s.mu.Lock()
		s.opening = false
		if err == nil && !s.ended {
			s.open, s.pause = b, 0
			s.mu.Unlock()
			b.run()
			return
		}
		s.pause = min(max(2*s.pause, bundlePauseLeast), bundlePauseMost)
		s.until = time.Now().Add(s.pause)
		s.mu.Unlock()
		s.log.Debug("no bundle of writes", zap.String("backend", s.pool.addr), zap.Error(err))
		s.pool.drop(u)
	})
}

// close lets the bundle end once all that is under way on it is answered.
func (s *bundles) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if b := s.open; b != nil {
		b.leave()
		if !b.waits() {
			_ = b.u.Close()
		}
	}
}

// bundles says whether an attempt may go in a bundle: a numbered write that is short,
// since what is under way on a connection that ends must be asked for again. One that
// was lost goes by itself: it may be what ended the bundle.
func (x *exchange) bundles(busy int64) bool {
	cfg := &x.set.cfg
	return x.ticket.session != nil && !x.doubt && cfg.ShareReads != ShareNever && (busy >= bundleFrom || cfg.shareHard) &&
		len(x.body) <= joinBody && len(x.head) <= edge.MaxMessage
}

// bundled sends a write in a bundle, and says whether there was one.
func (x *exchange) bundled(g *registry, be *backend, by time.Time) (attempt, bool) {
	r := &x.ride
	if r.done == nil {
		r.done = make(chan error, 1)
	}
	r.since, r.by = x.began, by
	b, at, err := be.bundles.join(r, claim{g, be, x.reign})
	switch {
	case err != nil:
		x.err = err
		return attempt{end: endUnreachable}, true
	case b == nil:
		return attempt{}, false
	}
	b.outbox.Put(at, x.head)
	return x.arrived(b, <-r.done), true
}

// arrived is the attempt of a write in a bundle that came to its end.
func (x *exchange) arrived(b *bundle, err error) (a attempt) {
	if err == nil {
		if err = x.ans.readWhole(x.ride.block, x.ticket.number); err != nil {
			b.end() // what else comes over it is no better
		}
	}
	if err != nil {
		a = x.broke(err)
	} else {
		x.whole = true
		a = x.answered()
	}
	a.sent, a.reused = true, true
	return a
}

// readWhole reads an answer that came whole: its head, and as much body as that says.
// Where it was decided under a number, that must be the write's.
func (a *answer) readWhole(block []byte, number uint64) error {
	i := bytes.Index(block, []byte("\r\n\r\n"))
	if i < 0 {
		return fmt.Errorf("%w: it has no head", errBadAnswer)
	}
	if err := a.parse(block[:i+4], false); err != nil {
		return err
	}
	if a.status < fasthttp.StatusOK || a.length != len(block)-a.size {
		return fmt.Errorf("%w: its body is not as long as its head says", errBadAnswer)
	}
	if a.sequence != 0 && a.sequence != number {
		return fmt.Errorf("%w: it is another write's", errBadAnswer)
	}
	return nil
}
