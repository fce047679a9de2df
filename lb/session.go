package lb

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// sessionPath is where nodes open, renew and close sessions.
const sessionPath = "/dengine/session"

const (
	// sessionPatience is how long the opening of a session may keep writes
	// waiting before they go without a number.
	sessionPatience = time.Second
	// sessionAsk is for one request about a session.
	sessionAsk = 2 * time.Second
	// sessionLastAsk is for closing it.
	sessionLastAsk = 500 * time.Millisecond
	// sessionRetry is the first pause after a failure, or after a session that
	// was lost sooner than in sessionPause; it doubles up to that.
	sessionRetry = 10 * time.Millisecond
	sessionPause = time.Second
	// sessionRefusedPause is how long a cluster that has no room for a session, or
	// does not know of sessions after all, is left alone.
	sessionRefusedPause = 5 * time.Second
	// longestSession is the longest timeout that a node may set. Where one says
	// more, the session is renewed as if it had said this.
	longestSession = 24 * time.Hour
	// sessionsMost is how many sessions are open at most. A second one is opened where the
	// numbers of the first run out: there are that many clients, or an old write that is
	// not answered holds all others back.
	sessionsMost = 4
)

// session is one session of this balancer with the cluster.
type session struct {
	id      string // made up by a node; a secret: in no log and in no answer
	timeout time.Duration
	of      *numbers
	window
	renewal schedule // belongs to sessions.run
}

// schedule is when something is to be asked for next.
type schedule struct {
	due   time.Time
	pause time.Duration // before that, after a failure
}

// retry makes it due after a pause that doubles.
func (s *schedule) retry(most time.Duration) {
	s.pause = min(max(2*s.pause, sessionRetry), most)
	s.due = time.Now().Add(s.pause)
}

// sessionState is what /status shows.
type sessionState string

const (
	sessionOff     sessionState = "off"     // by the settings
	sessionNone    sessionState = "none"    // there is no leader that keeps identities
	sessionOpening sessionState = "opening" // writes wait for it, but not for long
	sessionOpen    sessionState = "open"
	sessionRefused sessionState = "refused" // the cluster has no room; writes go without a number
)

// sessions keeps a session open, or some: it opens one as soon as a leader is known
// that keeps identities, and more where its numbers do not do, renews them, and opens
// another where the last one was lost. A session belongs to the cluster and outlives its
// leaders. A balancer that starts anew knows nothing of an earlier one's.
type sessions struct {
	registry *registry
	settings *atomic.Pointer[settings]
	log      *zap.Logger
	kick     chan struct{} // look now
	done     chan struct{} // closed when run has ended
	waits    atomic.Uint64 // writes that found no number free, ever
	numbers

	mu      sync.Mutex
	state   sessionState
	since   time.Time     // when writes began to wait for this opening
	changed chan struct{} // closed when the state changes

	// What follows belongs to run.
	opened time.Time // when the last session was that was the only one; zero: its loss was seen
	reign  uint64    // last looked at
	first  schedule  // the opening of a session where there is none
	more   schedule  // and of one more
}

func newSessions(g *registry, set *atomic.Pointer[settings], log *zap.Logger) *sessions {
	k := &sessions{
		registry: g, settings: set, log: log, state: sessionNone, since: time.Now(),
		kick: make(chan struct{}, 1), done: make(chan struct{}), changed: make(chan struct{}),
	}
	k.short = k.look
	return k
}

// look has run look at everything now.
func (k *sessions) look() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// become notes the state and wakes who waits for one.
func (k *sessions) become(s sessionState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turn(s)
}

// turn is become; the lock is held.
func (k *sessions) turn(s sessionState) {
	if s == k.state {
		return
	}
	if s == sessionOpening {
		k.since = time.Now()
	}
	k.state = s
	close(k.changed)
	k.changed = make(chan struct{})
}

// await is for a write that has found no session: it says that one is open; or, where the
// write should rather wait for one than go without, on what and until when.
func (k *sessions) await() (open bool, changed <-chan struct{}, until time.Time) {
	patience := cmp.Or(k.settings.Load().cfg.sessionPatience, sessionPatience)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch k.state {
	case sessionOpen: // just now
		return true, nil, time.Time{}
	case sessionOpening:
		return false, k.changed, k.since.Add(patience)
	case sessionNone: // run is about to see the leader that the caller has seen
		return false, k.changed, time.Now().Add(patience)
	}
	return false, nil, time.Time{}
}

// add has writes numbered in one more session.
func (k *sessions) add(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.of = &k.numbers
	k.set(append(slices.Clone(k.all()), s))
	k.turn(sessionOpen)
}

// lost says that the cluster does not know a session any more.
func (k *sessions) lost(s *session) {
	defer s.end()
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.Index(k.all(), s)
	if i < 0 {
		return
	}
	k.log.Warn("the cluster has forgotten a session of this balancer's", zap.Int("others", len(k.all())-1))
	if k.set(slices.Delete(slices.Clone(k.all()), i, i+1)); len(k.all()) == 0 {
		k.turn(sessionOpening)
		k.look()
	}
}

// run keeps a session until ctx ends.
func (k *sessions) run(ctx context.Context) {
	defer close(k.done)
	for ctx.Err() == nil {
		v := k.registry.view.Load()
		t := time.NewTimer(k.step(ctx, v))
		select {
		case <-t.C:
		case <-v.changed:
		case <-k.kick:
		case <-ctx.Done():
		}
		t.Stop()
	}
	k.become(sessionOff)
}

// report is the state, how many sessions are open, and how many numbers are in use.
func (k *sessions) report() (state sessionState, open, inUse int) {
	k.mu.Lock()
	state = k.state
	k.mu.Unlock()
	all := k.all()
	for _, s := range all {
		inUse += s.use()
	}
	return state, len(all), inUse
}
