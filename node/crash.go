package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// crash is the state of the detection of crashed leaders.
type crash struct {
	kick     chan struct{} // state or leader have changed, or a stream has ended
	watching atomic.Bool   // the watch on the leader is up

	// turn is held while raft is given a TimeoutNow. raft's observer takes it at
	// each change of state or leader, on the goroutine that makes the change, so
	// that nothing changes between the last check and raft's taking it.
	turn sync.Mutex

	mu      sync.Mutex
	held    *suspicion
	changed chan struct{} // closed when held changes
	word    promise
}

func newCrash() *crash {
	return &crash{kick: make(chan struct{}, 1), changed: make(chan struct{})}
}

func (k *crash) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// observed is called by raft when its state or leader has changed.
func (k *crash) observed() {
	k.turn.Lock()
	k.wake()
	k.turn.Unlock()
}

// wait waits for a change, but not for long.
func (k *crash) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-k.kick:
	case <-timer.C:
	}
}

func (k *crash) set(s *suspicion) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = s
	close(k.changed)
	k.changed = make(chan struct{})
}

// suspects waits a moment for a suspicion of this leader in this term.
func (k *crash) suspects(leader string, term uint64) (suspicion, bool) {
	patience := time.NewTimer(opinionPatience)
	defer patience.Stop()
	for {
		k.mu.Lock()
		held, changed := k.held, k.changed
		k.mu.Unlock()
		if held != nil && held.leader.id == leader && held.term == term {
			return *held, true
		}
		select {
		case <-changed:
		case <-patience.C:
			return suspicion{}, false
		}
	}
}

// promise gives this node's word, to another or to itself, unless it is given.
func (k *crash) promise(to string, term uint64, until time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.word.free(to, term, clock()) {
		return false
	}
	k.word = promise{to, term, until}
	return true
}

// release takes back the word that a node gave itself.
func (k *crash) release(self string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.word.to == self {
		k.word = promise{}
	}
}
