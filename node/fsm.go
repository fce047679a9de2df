package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
)

// fsm puts the state machine under raft. It takes configuration entries too
// (raft.BatchingFSM), so that its index follows every committed entry but
// no-ops and barriers; raft's own AppliedIndex runs ahead of it.
type fsm struct {
	fatal func(error)

	mu      sync.RWMutex // held for writing only while one entry is applied
	machine *kv.Machine
	broken  error // an entry could not be read: the state must not go on from here

	index atomic.Uint64 // machine.Index(), for those who only look
	term  atomic.Uint64 // machine.Term()
	wait  waitList

	before atomic.Pointer[func()] // called before entries are applied: tests hold them back

	entry kv.Entry // its space is reused by ApplyBatch, which raft calls from one goroutine
}

var _ raft.BatchingFSM = (*fsm)(nil)

func newFSM(fatal func(error)) *fsm { return &fsm{fatal: fatal, machine: new(kv.Machine)} }

// applied is what a log entry's future gives back: its results, or why the entry
// could not be read.
type applied struct {
	results []kv.Result
	err     error
}

// ApplyBatch implements raft.BatchingFSM. An entry that cannot be decoded ends
// the node, and nothing is applied after it: to skip it would be to drift apart
// from the other nodes.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	if before := f.before.Load(); before != nil {
		(*before)()
	}
	out := make([]any, len(logs))
	for i, l := range logs {
		out[i] = f.applyLog(l)
	}
	f.publish(f.machine.Index(), f.machine.Term())
	return out
}

// applyLog applies one entry. Reads wait for no more than that: a batch may hold
// many, and each leaves a state that may be seen.
func (f *fsm) applyLog(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.broken != nil:
		return applied{err: f.broken}
	case l.Type != raft.LogCommand:
		f.machine.Advance(l.Index, l.Term)
		return nil
	}
	return f.applyEntry(l)
}

func (f *fsm) applyEntry(l *raft.Log) applied {
	if err := kv.DecodeEntry(l.Data, &f.entry); err != nil {
		err = fmt.Errorf("log entry %d cannot be applied: %w: start this node with the version that the others run", l.Index, err)
		f.broken = err
		f.fatal(err)
		return applied{err: err}
	}
	results := f.machine.Apply(l.Index, l.Term, &f.entry, make([]kv.Result, 0, len(f.entry.Commands)))
	clear(f.entry.Commands) // they hold on to the log's data
	return applied{results: results}
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// publish makes the new index known and wakes who waits for it.
func (f *fsm) publish(index, term uint64) {
	f.term.Store(term)
	f.index.Store(index)
	f.wait.reached(index)
}

// Snapshot implements raft.FSM. It takes constant time: the view is copied on
// write while raft persists it.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock() // taking a view marks the tree as shared
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	return snapshot{f.machine.View()}, nil
}

// Restore implements raft.FSM. raft gives no index; the snapshot holds it.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	m, err := kv.ReadSnapshot(r)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	f.become(m)
	return nil
}

// become takes another state for the one there is.
func (f *fsm) become(m *kv.Machine) {
	f.mu.Lock()
	f.machine = m
	f.mu.Unlock()
	f.publish(m.Index(), m.Term())
}

// get returns a key's item and the index of the state that it was read from.
func (f *fsm) get(key []byte) (kv.Item, bool, uint64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	it, ok := f.machine.Get(key)
	return it, ok, f.machine.Index()
}

// items are the keys and their items as they are now, to be read for as long as it
// takes: nobody waits for that.
func (f *fsm) items() kv.Items {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.machine.Items()
}

func (f *fsm) len() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.machine.Len()
}

// limits are those of the identities of writes, and usage is what is kept of them.
func (f *fsm) limits() kv.Limits {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.machine.Limits()
}

func (f *fsm) usage() kv.Usage {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.machine.Usage()
}

// view returns the whole state as it is now, in constant time.
func (f *fsm) view() *kv.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.machine.View()
}

// await returns once index is applied, or with ctx's cause.
func (f *fsm) await(ctx context.Context, index uint64) error {
	if f.index.Load() >= index {
		return nil
	}
	ready := f.wait.add(index, &f.index)
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		f.wait.remove(ready)
		return context.Cause(ctx)
	}
}

// snapshot writes a view to raft's snapshot store.
type snapshot struct{ view *kv.View }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.view.WriteTo(paced(sink)); err != nil {
		return fmt.Errorf("write snapshot %s: %w", sink.ID(), errors.Join(err, sink.Cancel()))
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("finish snapshot %s: %w", sink.ID(), err)
	}
	return nil
}

func (s snapshot) Release() {}

// waitList are those who wait for an index. Few wait at a time.
type waitList struct {
	count   atomic.Int64
	mu      sync.Mutex
	waiters map[chan struct{}]uint64
}

// add registers a waiter. The index is looked at again after that, so that none
// is missed that is applied in between.
func (w *waitList) add(index uint64, now *atomic.Uint64) chan struct{} {
	ready := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters == nil {
		w.waiters = make(map[chan struct{}]uint64)
	}
	w.waiters[ready] = index
	w.count.Add(1)
	if now.Load() >= index {
		w.release(ready)
	}
	return ready
}

func (w *waitList) reached(index uint64) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ready, want := range w.waiters {
		if want <= index {
			w.release(ready)
		}
	}
}

func (w *waitList) release(ready chan struct{}) {
	delete(w.waiters, ready)
	w.count.Add(-1)
	close(ready)
}

func (w *waitList) remove(ready chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.waiters[ready]; ok {
		delete(w.waiters, ready)
		w.count.Add(-1)
	}
}
