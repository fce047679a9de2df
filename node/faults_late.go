//go:build faults

package node

import (
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	latePause = 20 * time.Millisecond // between two writes
	lateBy    = 60 * time.Millisecond // an entry is written, at the least
)

// lateDisk puts off what is appended to the log, where a test wants that: the node
// acknowledges what it has only in memory, as if it left out fsync and its host lost
// power when it is killed. The test must then see that writes are lost.
func lateDisk(d disk) disk {
	if os.Getenv("DENGINE_FAULT_LATE_DISK") != "1" {
		return d
	}
	l := &latecomer{disk: d, closed: make(chan struct{})}
	l.wg.Go(l.run)
	return l
}

// latecomer is a disk with entries that are not on it yet. They follow, without a
// gap, what is on it.
type latecomer struct {
	disk
	closed chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	waiting []*raft.Log
	came    []time.Time // when each of them came
	err     error       // of a write, for the next append
}

func (l *latecomer) run() {
	tick := time.NewTicker(latePause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.mu.Lock()
			l.write(time.Now().Add(-lateBy))
			l.mu.Unlock()
		case <-l.closed:
			return
		}
	}
}

// write writes what came before t; the lock is held.
func (l *latecomer) write(t time.Time) {
	n := 0
	for n < len(l.came) && l.came[n].Before(t) {
		n++
	}
	if n == 0 || l.err != nil {
		return
	}
	l.err = l.disk.StoreLogs(l.waiting[:n])
	l.waiting, l.came = l.waiting[n:], l.came[n:]
}

// IsMonotonic implements raft.MonotonicLogStore.
func (l *latecomer) IsMonotonic() bool {
	m, ok := l.disk.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// StoreLogs implements raft.LogStore.
func (l *latecomer) StoreLogs(logs []*raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.waiting); n > 0 && len(logs) > 0 && logs[0].Index != l.waiting[n-1].Index+1 {
		l.write(time.Now())
	}
	for _, e := range logs {
		l.waiting, l.came = append(l.waiting, e), append(l.came, time.Now())
	}
	return l.err
}

// GetLog implements raft.LogStore.
func (l *latecomer) GetLog(index uint64, log *raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 && index >= l.waiting[0].Index && index-l.waiting[0].Index < uint64(len(l.waiting)) {
		*log = *l.waiting[index-l.waiting[0].Index]
		return nil
	}
	return l.disk.GetLog(index, log)
}

// FirstIndex implements raft.LogStore.
func (l *latecomer) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, err := l.disk.FirstIndex()
	if err == nil && first == 0 && len(l.waiting) > 0 {
		first = l.waiting[0].Index
	}
	return first, err
}

// LastIndex implements raft.LogStore.
func (l *latecomer) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.waiting); n > 0 {
		return l.waiting[n-1].Index, nil
	}
	return l.disk.LastIndex()
}

// DeleteRange implements raft.LogStore.
func (l *latecomer) DeleteRange(lo, hi uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(time.Now())
	if l.err != nil {
		return l.err
	}
	return l.disk.DeleteRange(lo, hi)
}

// Close implements disk.
func (l *latecomer) Close() error {
	close(l.closed)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(time.Now())
	return l.disk.Close()
}
