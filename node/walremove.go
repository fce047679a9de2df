package node

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

const (
	// removedSegment ends the name of a segment that is no part of the log any more.
	removedSegment = ".removed"
	// removeBytes is how much of a file goes at once.
	removeBytes = 4 << 20
)

// Delete implements types.SegmentFiler. raft-wal calls it while it holds what every
// append waits for, and to free a segment takes a disk tens of milliseconds: here it
// only gets another name, and somebody else removes it. A name that a crash
// brings back is none of raft-wal's segments at its next start, and it calls this again.
func (f *walFiler) Delete(base, id uint64) error {
	path := filepath.Join(f.dir, segment.FileName(types.SegmentInfo{BaseIndex: base, ID: id}))
	removed := path + removedSegment
	if err := os.Rename(path, removed); err != nil {
		return err
	}
	f.removed.add(removed)
	return nil
}

// walRemover removes files one after the other, each piece by piece: one that goes at
// once holds up the log's fsync too.
type walRemover struct {
	mu     sync.Mutex
	queue  []string
	busy   bool // a goroutine removes
	closed bool
	stop   chan struct{}
	wg     sync.WaitGroup
}

// newWALRemover removes what an earlier run has left.
func newWALRemover(dir string) (*walRemover, error) {
	left, _ := filepath.Glob(filepath.Join(dir, "*"+removedSegment)) // the pattern is ours
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return &walRemover{stop: make(chan struct{})}, nil
}

func (r *walRemover) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.queue = append(r.queue, path)
	if !r.busy {
		r.busy = true
		r.wg.Go(r.run)
	}
}

// run removes as long as there is something to remove.
func (r *walRemover) run() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 || r.closed {
			r.busy = false
			r.mu.Unlock()
			return
		}
		path := r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		r.remove(path)
	}
}

// remove shortens a file until little is left of it. One that cannot be removed stays
// until the next start, which says so.
func (r *walRemover) remove(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	for size := info.Size() - removeBytes; size > 0; size -= removeBytes {
		began := time.Now()
		if err := os.Truncate(path, size); err != nil {
			break // to remove it may work all the same
		}
		if !r.rest(min(restTimes*time.Since(began), longRest)) {
			return
		}
	}
	_ = os.Remove(path)
}

// rest says whether there is more to be done after it.
func (r *walRemover) rest(d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-r.stop:
	}
	return !r.isClosed()
}

func (r *walRemover) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *walRemover) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	r.mu.Unlock()
	r.wg.Wait()
}
