package lb

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a backend is left out of reads after one hung there: twice as long
// each time, until it answers.
const (
	sidelineLeast = time.Second
	sidelineMost  = 30 * time.Second
)

// sideline keeps reads away from a backend that passes its checks and lets
// requests hang, which would cost each of them one attempt's time. Now and then
// one read goes there all the same, to see. Where no other backend is left, all
// do.
type sideline struct {
	answers atomic.Uint64 // given by the backend, ever
	until   atomic.Int64  // Unix time in nanoseconds; 0: it is not on the sideline

	mu    sync.Mutex
	pause time.Duration
	since time.Time // of the last strike
}

// admits says whether reads may go to the backend, or one of them to see.
func (s *sideline) admits() bool {
	until := s.until.Load()
	return until == 0 || time.Now().UnixNano() >= until
}

// answered ends it.
func (s *sideline) answered() {
	s.answers.Add(1)
	if s.until.Load() != 0 {
		s.mu.Lock()
		s.pause = 0
		s.until.Store(0)
		s.mu.Unlock()
	}
}

// visit notes that a read goes there, and returns how many answers there were
// before it. Others stay away until that one has ended.
func (s *sideline) visit() uint64 {
	if s.until.Load() != 0 {
		s.mu.Lock()
		if s.until.Load() != 0 {
			s.until.Store(time.Now().Add(s.pause).UnixNano())
		}
		s.mu.Unlock()
	}
	return s.answers.Load()
}

// strike notes that a read hung there, from began on and after so many answers.
// Where others were answered meanwhile, it is the read that is slow. Reads that
// hung side by side count once.
func (s *sideline) strike(began time.Time, answers uint64) {
	if s.answers.Load() != answers {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if began.Before(s.since) {
		return
	}
	s.pause = min(max(2*s.pause, sidelineLeast), sidelineMost)
	s.since = time.Now()
	s.until.Store(s.since.Add(s.pause).UnixNano())
}
