package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// round is one effort to learn an index that reads may be answered at. It serves
// every read that came before it began.
type round struct {
	created time.Time     // the first read joined
	began   time.Time     // after the last read joined, and before anybody was asked
	known   chan struct{} // closed when index and err are set
	ready   chan struct{} // closed when, besides, the index is applied here
	index   uint64
	term    uint64 // of the leader that named it
	err     error
	late    error // the index was not applied here in time; set when ready is closed
}

// rounds runs one round at a time. Reads that come meanwhile gather in the next.
type rounds struct {
	n *Node

	mu   sync.Mutex
	run  func(*round) // sets index, term and err
	next *round       // gathers; nil while nobody waits
	busy bool         // a goroutine runs rounds
}

// join returns the round that gathers now: it has not begun.
func (r *rounds) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{created: clock(), known: make(chan struct{}), ready: make(chan struct{})}
	}
	joined := r.next
	if !r.busy {
		if r.busy = r.n.spawn(r.loop); !r.busy {
			r.next = nil
			joined.fail(ErrClosed)
		}
	}
	return joined
}

// fail ends a round that has not come to an answer.
func (r *round) fail(err error) {
	r.err = err
	close(r.known)
	close(r.ready)
}

// loop runs rounds for as long as somebody waits for one.
func (r *rounds) loop() {
	for {
		r.mu.Lock()
		now, run := r.next, r.run
		if r.next = nil; now == nil {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		now.began = clock()
		run(now)
		close(now.known)
		r.n.finish(now)
	}
}

// finish makes a round ready as soon as its index is applied here. The next round
// does not wait for that.
func (n *Node) finish(r *round) {
	if r.err != nil {
		close(r.ready)
		return
	}
	c := n.core.Load()
	if c.fsm.index.Load() >= r.index {
		n.caughtUp(r)
		close(r.ready)
		return
	}
	wait := func() {
		if r.late = n.awaitIndex(n.ctx, c, r.index); r.late == nil {
			n.caughtUp(r)
		}
		close(r.ready)
	}
	if !n.spawn(wait) {
		r.late = ErrClosed
		close(r.ready)
	}
}

// catchUp runs rounds until the first has succeeded: a node that starts has the
// state of an earlier day, and no append says how old it is.
func (n *Node) catchUp() {
	for !n.fresh.known() && n.ctx.Err() == nil {
		_ = n.await(n.ctx, n.asks.join()) // why it failed shows in the report, and to readers
	}
}

// caughtUp notes that what a round found is in this node's state.
func (n *Node) caughtUp(r *round) {
	if first := !n.fresh.known(); n.fresh.note(r.began) && first {
		n.kickRole() // it may serve now
	}
}

// confirmed waits until this node has applied an index that covers every write
// that was acknowledged before the call. Its error is one of ErrNoLeader,
// ErrBehind, ErrStarting, ErrClosed and ctx's cause.
func (n *Node) confirmed(ctx context.Context, c *core) error {
	if c.raft.State() == raft.Leader {
		if n.await(ctx, n.confirms.join()) == nil {
			return nil
		}
	}
	return n.await(ctx, n.asks.join())
}

// await waits for a round, which ends when the node does.
func (n *Node) await(ctx context.Context, r *round) error {
	select {
	case <-r.ready:
		if r.err != nil {
			return r.err
		}
		return r.late
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// freshness is the latest moment of which it is known that every write that was
// acknowledged before it is in this node's state. What a leader sends cannot tell:
// it may have waited in a socket, and the leader may be one no more.
type freshness struct {
	start time.Time
	since atomic.Int64 // nanoseconds from start; 0: no such moment
}

func (f *freshness) note(at time.Time) (newer bool) {
	ns := int64(at.Sub(f.start))
	for old := f.since.Load(); old < ns; old = f.since.Load() {
		if f.since.CompareAndSwap(old, ns) {
			return true
		}
	}
	return false
}

// known says whether there is such a moment.
func (f *freshness) known() bool { return f.since.Load() > 0 }

// covers says whether that moment is not before t.
func (f *freshness) covers(t time.Time) bool {
	since := f.since.Load()
	return since > 0 && since >= int64(t.Sub(f.start))
}

// errNotConfirmed: this node cannot say what a read must see. Another may lead, or
// this one leads and has not applied an entry of its term yet.
var errNotConfirmed = errors.New("this node does not lead, or not yet")
