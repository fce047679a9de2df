package node

import (
	"errors"
	"sync"

	"github.com/hashicorp/raft"
)

// ahead are entries that a leader's log has taken and that are on their way to its
// disk: a leader may send entries before it has them on disk itself, as long as
// nothing counts for committed that is not (Ongaro's thesis, 10.2.1). So its fsync
// and those of its followers take place at the same time, and not one after another.
//
// raft counts an entry for the leader's own as soon as StoreLogs returns. With two
// voters or more that alone commits nothing: it takes the answer of another. Those the
// transport holds back (heldBack) until the leader's disk has what they are for. What
// is committed is therefore on the leader's disk and on those of as many others as
// before.
//
// Entries that are lost with a leader that ends meanwhile have been acknowledged to
// nobody. It never leads in that term again, so that no other entry takes their place
// in it; where it is elected in another one, or follows, all that it writes comes
// behind what is here.
type ahead struct {
	mu      sync.Mutex
	logs    []*raft.Log // not on disk yet, oldest first, without a gap
	err     error       // they could not be written: they stay, and so do those who wait
	changed chan struct{}
	writing bool
	wg      sync.WaitGroup
}

// errHeldBack says that whoever waited for the disk went away.
var errHeldBack = errors.New("not on this node's disk yet")

// add takes entries, to be on disk once write has returned without an error. It is
// called by raft's main loop alone.
func (a *ahead) add(logs []*raft.Log, write func([]*raft.Log) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	a.logs = append(a.logs, logs...)
	if !a.writing {
		a.writing = true
		a.wg.Go(func() { a.run(write) })
	}
	return nil
}

// run writes until nothing is left to be written; what came meanwhile shares a write.
func (a *ahead) run(write func([]*raft.Log) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.logs) > 0 && a.err == nil {
		logs := a.logs
		a.mu.Unlock()
		err := write(logs)
		a.mu.Lock()
		if a.err = err; err == nil {
			if a.logs = a.logs[len(logs):]; len(a.logs) == 0 {
				a.logs = nil
			}
		}
		if a.changed != nil {
			close(a.changed)
			a.changed = nil
		}
	}
	a.writing = false
}

// await returns once every entry up to index that was taken is on disk, with an error
// where it could not be written or gone is closed first.
func (a *ahead) await(index uint64, gone <-chan struct{}) error {
	for {
		a.mu.Lock()
		if a.err != nil || len(a.logs) == 0 || a.logs[0].Index > index {
			defer a.mu.Unlock()
			return a.err
		}
		if a.changed == nil {
			a.changed = make(chan struct{})
		}
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-gone:
			return errHeldBack
		}
	}
}

// settle returns once all that was taken is on disk, or cannot be written.
func (a *ahead) settle() error { return a.await(^uint64(0), nil) }

// get returns an entry that is not on disk yet, or nil.
func (a *ahead) get(index uint64) *raft.Log {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.logs) == 0 || index < a.logs[0].Index || index-a.logs[0].Index >= uint64(len(a.logs)) {
		return nil
	}
	return a.logs[index-a.logs[0].Index]
}

// ends are the indexes of the first and the last entry that are not on disk yet; 0
// where there is none.
func (a *ahead) ends() (first, last uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.logs) == 0 {
		return 0, 0
	}
	return a.logs[0].Index, a.logs[len(a.logs)-1].Index
}

// mayRunAhead says whether entries may be sent before they are on disk: only a leader's
// own, and where it takes another voter to commit them. A change of the members waits
// for the disk with all that came before it, since with it the leader may become the
// only voter. raft's main loop calls it, which alone makes a node leader.
func mayRunAhead(r *raft.Raft, logs []*raft.Log) bool {
	if r == nil || r.State() != raft.Leader {
		return false
	}
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			return false
		}
	}
	voters := 0
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	return voters > 1
}

// heldBack waits, with a follower's answer that raft would take for one more copy of
// entries, until they are on this node's disk too.
func (s *logStore) heldBack(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, gone <-chan struct{}) error {
	if n := len(req.Entries); n > 0 && resp.Success {
		return s.ahead.await(req.Entries[n-1].Index, gone)
	}
	return nil
}

// FirstIndex implements raft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) {
	ahead, _ := s.ahead.ends() // before the disk is asked: meanwhile they may get there
	first, err := s.disk.FirstIndex()
	if first == 0 && err == nil {
		first = ahead
	}
	return first, err
}

// LastIndex implements raft.LogStore.
func (s *logStore) LastIndex() (uint64, error) {
	_, ahead := s.ahead.ends()
	last, err := s.disk.LastIndex()
	return max(last, ahead), err
}
