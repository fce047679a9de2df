package lb

import (
	"cmp"
	"context"
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
)

// session is one session of this balancer with the cluster.
type session struct {
	id      string // made up by a node; a secret: in no log and in no answer
	timeout time.Duration
	window
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

// sessions keeps one session open: it opens one as soon as a leader is known
// that keeps identities, renews it, and opens another where it was lost. A
// session belongs to the cluster and outlives its leaders. A balancer that
// starts anew knows nothing of an earlier one's.
type sessions struct {
	registry *registry
	set      *atomic.Pointer[settings]
	log      *zap.Logger
	current  atomic.Pointer[session] // nil: none is open
	kick     chan struct{}           // look now
	done     chan struct{}           // closed when run has ended
	waits    atomic.Uint64           // writes that found no number free, ever

	mu      sync.Mutex
	state   sessionState
	since   time.Time     // when writes began to wait for this opening
	changed chan struct{} // closed when the state changes

	// What follows belongs to run.
	had    *session
	opened time.Time // had was
	reign  uint64    // last looked at
	due    time.Time // the next request
	pause  time.Duration
}

func newSessions(g *registry, set *atomic.Pointer[settings], log *zap.Logger) *sessions {
	return &sessions{
		registry: g, set: set, log: log, state: sessionNone, since: time.Now(),
		kick: make(chan struct{}, 1), done: make(chan struct{}), changed: make(chan struct{}),
	}
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

// get returns the open session; or, where a write should rather wait for one
// than go without, a channel to wait on and until when.
func (k *sessions) get() (s *session, changed <-chan struct{}, until time.Time) {
	if s := k.current.Load(); s != nil {
		return s, nil, time.Time{}
	}
	patience := cmp.Or(k.set.Load().cfg.sessionPatience, sessionPatience)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch k.state {
	case sessionOpen: // opened, or lost, just now
		if s := k.current.Load(); s != nil {
			return s, nil, time.Time{}
		}
		return nil, k.changed, time.Now().Add(patience)
	case sessionOpening:
		return nil, k.changed, k.since.Add(patience)
	case sessionNone: // run is about to see the leader that the caller has seen
		return nil, k.changed, time.Now().Add(patience)
	}
	return nil, nil, time.Time{}
}

// lost says that the cluster does not know the session any more.
func (k *sessions) lost(s *session) {
	if k.current.CompareAndSwap(s, nil) {
		k.log.Warn("the cluster has forgotten this balancer's session: opening another")
		k.become(sessionOpening)
		k.look()
	}
	s.end()
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

// report is the state, and how many numbers are in use.
func (k *sessions) report() (state sessionState, inUse int) {
	k.mu.Lock()
	state = k.state
	k.mu.Unlock()
	if s := k.current.Load(); s != nil {
		inUse = s.use()
	}
	return state, inUse
}
