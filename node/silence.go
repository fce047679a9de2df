package node

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// ErrDiskStuck says that a write to the log has been under way for longer than
// the disk timeout.
var ErrDiskStuck = errors.New("the disk does not answer")

// diskWatch knows for how long the write that is under way has been. raft sends
// heartbeats and empty appends on other goroutines than the one that writes, so
// that a leader whose disk hangs keeps its followers loyal for ever. While the
// disk is stuck the transport therefore sends nothing that does (see transport).
//
// The write itself is never given up: it may complete, and a raft that had been
// told otherwise would not know of entries that are in its log.
type diskWatch struct {
	patience time.Duration // Config.DiskTimeout
	over     func(took time.Duration, what string)

	// Writes go one by one, as bolt does them in any case: then the one under
	// way is the one that hangs, whoever waits behind it.
	one    sync.Mutex
	write  atomic.Pointer[diskWrite] // under way
	stalls atomic.Uint64             // writes that took longer than patience, and ended
	failed atomic.Pointer[error]     // the first write that failed
}

type diskWrite struct {
	what  string
	began time.Time
}

// newDiskWatch calls over when a write ends that took longer than patience.
func newDiskWatch(patience time.Duration, over func(took time.Duration, what string)) *diskWatch {
	return &diskWatch{patience: patience, over: over}
}

// begin waits for its turn and notes a write; end must follow.
func (w *diskWatch) begin(what string) {
	w.one.Lock()
	w.write.Store(&diskWrite{what, clock()})
}

func (w *diskWatch) end() {
	done := w.write.Swap(nil)
	w.one.Unlock()
	if took := time.Since(done.began); took >= w.patience {
		w.stalls.Add(1)
		w.over(took, done.what)
	}
}

// stuckFor is how long the write under way has been, zero unless that is longer
// than patience.
func (w *diskWatch) stuckFor() time.Duration {
	d, _ := w.stuck()
	return d
}

// fail notes that a write has failed: from now on nothing is written, sent or taken
// any more. raft may hold entries for written whose predecessors it has removed
// and could not write again, and must not acknowledge them while the node ends.
func (w *diskWatch) fail(err error) { w.failed.CompareAndSwap(nil, &err) }

// failure is the first write that failed, or nil.
func (w *diskWatch) failure() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// check returns an error that wraps ErrDiskStuck while the disk is stuck, and for
// ever why a write has failed.
func (w *diskWatch) check() error {
	if err := w.failure(); err != nil {
		return err
	}
	if d, what := w.stuck(); d > 0 {
		return fmt.Errorf("%w: to %s has taken %v so far", ErrDiskStuck, what, d.Round(time.Millisecond))
	}
	return nil
}

func (w *diskWatch) stuck() (time.Duration, string) {
	now := w.write.Load()
	if now == nil {
		return 0, ""
	}
	if d := time.Since(now.began); d >= w.patience {
		return d, now.what
	}
	return 0, ""
}

// watchDisk says in the log when the node falls silent, and turns away the writes
// that wait for a place in the log; silent is what it returned last.
func (n *Node) watchDisk(c *core, silent bool) bool {
	why := c.store.watch.check()
	if errors.Is(why, ErrDiskStuck) && !silent {
		n.log.Error("the disk hangs: this node falls silent, so that another one leads",
			zap.String("log", c.store.path), zap.Uint64("term", c.raft.CurrentTerm()), zap.Error(why))
	}
	if why != nil {
		c.proposer.turnAway(noLeaderSince(why))
	}
	return why != nil
}

// diskAnswers says that a write has ended that took too long.
func (n *Node) diskAnswers(took time.Duration, what string) {
	n.log.Warn("the disk answers again", zap.String("write", what), zap.Duration("took", took))
	n.kickRole()
}

// noLeaderSince is why a node whose disk is stuck takes no write: it may still
// believe that it leads, and does so no longer.
func noLeaderSince(stuck error) error { return fmt.Errorf("%w: %w", ErrNoLeader, stuck) }
