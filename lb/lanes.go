package lb

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// shareFrom is how many reads must be under way to a backend for more to share
	// connections: fewer gain nothing by it.
	shareFrom = 2
	// laneDepth is how many reads are under way on one lane at most, and laneBytes how
	// many bytes of theirs wait to be sent.
	laneDepth = 64
	laneBytes = 32 << 10
	// lanesMost is how many lanes there are to one backend at most.
	lanesMost = 4
	// laneBudget is how long those before it on a lane may make a read wait, by what
	// was learnt of the backend: a lane is as deep as that allows. A backend that works
	// for each answer in turn, or waits for something, gets none.
	laneBudget = 300 * time.Microsecond
	// laneGuess is the time from one answer to the next while nothing is known of it.
	laneGuess = 75 * time.Microsecond
	// laneLate is after how long the oldest read of a lane is late at the earliest, and
	// laneLateMost at the latest; between them it is laneSlow times the usual.
	laneLate     = 10 * time.Millisecond
	laneLateMost = 100 * time.Millisecond
	laneSlow     = 4
	// How long a backend gets no lanes after one ended badly, or did not pay: twice
	// as long each time, until one has proven itself.
	lanePauseLeast = time.Second
	lanePauseMost  = 10 * time.Second
)

// lanes are the lanes to one backend, and what was learnt of how it takes them.
type lanes struct {
	pool  *pool
	start func(func()) // runs a lane; its owner waits for it
	hard  bool         // never rest

	busy  atomic.Int64  // requests to the backend under way, in lanes or not
	rides atomic.Uint64 // reads answered in lanes
	left  atomic.Uint64 // reads that left one without an answer

	mu    sync.Mutex
	open  []*lane
	ended bool
	gap   time.Duration // from an answer to the next that was asked for already
	usual time.Duration // from a request to its answer
	pause time.Duration // the next one
	until time.Time     // of the pause now
}

func newLanes(p *pool, start func(func()), hard bool) *lanes {
	return &lanes{pool: p, start: start, hard: hard, gap: laneGuess, pause: lanePauseLeast}
}

// join puts a read on a lane, or on none where it must go by itself. Where flush,
// the caller must call the lane's.
func (s *lanes) join(r *ride, head []byte) (l *lane, flush bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || r.since.Before(s.until) {
		return nil, false
	}
	if l = s.choose(len(head)); l == nil {
		return nil, false
	}
	return l, l.add(r, head)
}

// choose finds the lane for a request: one that is about to be written to, since
// another request costs nothing there, or else the one with the fewest reads. The
// lock is held.
func (s *lanes) choose(size int) *lane {
	depth := s.depth()
	var best *lane
	for _, l := range s.open {
		switch {
		case len(l.queue) >= depth || len(l.out)+size > laneBytes:
		case l.flushing:
			return l
		case best == nil || len(l.queue) < len(best.queue):
			best = l
		}
	}
	if best != nil || len(s.open) >= lanesMost {
		return best
	}
	u := s.pool.spare(len(s.open))
	if u == nil {
		return nil
	}
	l := &lane{of: s, u: u}
	s.open = append(s.open, l)
	s.start(l.run)
	return l
}

// depth is how many reads a lane may have; the lock is held.
func (s *lanes) depth() int {
	return int(min(laneBudget/max(s.gap, 1), laneDepth))
}

// learnGap learns how long an answer takes after the one before it, in half of all
// cases: a machine that is short of processors makes some take longer, a backend that
// works for each makes all. The lock is held. Where it shows that each read on a lane
// costs those behind it too much, there are no more lanes for a while.
func (s *lanes) learnGap(d time.Duration) {
	step := max(s.gap/16, 2*time.Microsecond)
	if d > s.gap {
		s.gap += step
	} else {
		s.gap -= min(step, s.gap)
	}
	if s.depth() < 2 {
		s.rest(time.Now())
	}
}

func (s *lanes) learnUsual(d time.Duration) { s.usual += (d - s.usual) / 16 }

// late is after how long a read is late; the lock is held.
func (s *lanes) late() time.Duration {
	return min(max(laneSlow*s.usual, laneLate), laneLateMost)
}

// isLate says whether a read is.
func (s *lanes) isLate(r *ride, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(r.since) > s.late()
}

// rest begins a pause; the lock is held.
func (s *lanes) rest(now time.Time) {
	s.gap, s.usual = laneGuess, 0 // for the next time
	if s.hard || now.Before(s.until) {
		return
	}
	s.until = now.Add(s.pause)
	s.pause = min(2*s.pause, lanePauseMost)
}

// remove takes a lane out, which gets no more reads then; the lock is held.
func (s *lanes) remove(l *lane) {
	l.ended = true
	s.open = slices.DeleteFunc(s.open, func(one *lane) bool { return one == l })
}

// finish ends a lane and returns the reads on it. One that has not served many
// means that the backend does not suit lanes now.
func (l *lane) finish() []*ride {
	s := l.of
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(l)
	if l.served < laneProven {
		s.rest(time.Now())
	} else {
		s.pause = lanePauseLeast
	}
	return l.queue
}

// broken ends a lane whose connection has.
func (l *lane) broken(err error) {
	for _, r := range l.finish() {
		l.dismiss(r, err)
	}
	l.of.pool.drop(l.u)
}

// handOver ends a lane and leaves its connection to the oldest read, which was sent.
func (l *lane) handOver() {
	queue := l.finish()
	queue[0].done <- rideEnd{alone: l.u, behind: l.sent > 1}
	for _, r := range queue[1:] {
		l.dismiss(r, errLaneLeft)
	}
}

func (l *lane) dismiss(r *ride, err error) {
	if errors.Is(err, errLaneLeft) {
		l.of.left.Add(1)
	}
	r.done <- rideEnd{err: err}
}

// close ends all lanes, for good. Their backend is used no more.
func (s *lanes) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, l := range s.open {
		_ = l.u.Close()
	}
}
