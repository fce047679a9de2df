package node

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// deleteChunk is how many entries one transaction of bbolt removes. Appends wait for
// a transaction, so it must be short.
const deleteChunk = 256

// disk is where the log, the term and the vote are kept.
type disk interface {
	logDisk
	raft.StableStore
}

// logDisk is where the log is kept.
type logDisk interface {
	raft.LogStore
	Close() error
}

// logStore is raft's log and stable store on disk, with the newest entries kept
// in memory, bounded in bytes. Its first failed write ends the node: a node that
// cannot write must not go on winning elections.
type logStore struct {
	disk
	dir   string // the data directory
	path  string
	end   *logEnd
	watch *diskWatch
	fatal func(error)
	ahead ahead
	raft  atomic.Pointer[raft.Raft] // nil until it runs: what is stored is on disk then

	mu    sync.RWMutex
	cache logCache
}

var _ raft.MonotonicLogStore = (*logStore)(nil)

func openLogStore(kind LogStore, dir *dataDir, cacheBytes int, watch *diskWatch, log hclog.Logger, fatal func(error)) (*logStore, error) {
	d, err := openChecked(kind, dir, func(path string) (logDisk, error) { return openDisk(kind, path, log) })
	if err != nil {
		return nil, err
	}
	return &logStore{
		disk: wrapDisk(dir.path, d), dir: dir.path, path: dir.file(logNames[kind]), end: d.end, watch: watch, fatal: fatal,
		cache: logCache{max: cacheBytes},
	}, nil
}

func openDisk(kind LogStore, path string, log hclog.Logger) (logDisk, error) {
	if kind == LogStoreWAL {
		return openWAL(path, log)
	}
	return raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        time.Second,
			NoFreelistSync: true, // the free list is found again at the start
			FreelistType:   bbolt.FreelistMapType,
		},
		MsgpackUseNewTimeFormat: true,
	})
}

// IsMonotonic implements raft.MonotonicLogStore: raft-wal takes no gap between
// entries, so raft empties it when it installs a snapshot.
func (s *logStore) IsMonotonic() bool {
	m, ok := s.disk.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// write runs one write under the eyes of the disk watch. The first that fails
// ends the node.
func (s *logStore) write(what string, do func() error) error {
	s.watch.begin(what)
	err := s.watch.failure()
	if err == nil {
		if err = do(); err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			s.watch.fail(err)
		}
	}
	s.watch.end()
	if err == nil {
		return nil
	}
	s.fatal(fmt.Errorf("the log %s cannot be written (%w): the node stops, since it could not keep what it acknowledges; %s, then start it again",
		s.path, err, remedy(s.path, err)))
	return err
}

// GetLog implements raft.LogStore. An entry that is there and cannot be read ends the
// node, and the goroutine that asked: raft panics where it cannot read what it has
// to apply.
func (s *logStore) GetLog(index uint64, log *raft.Log) error {
	s.mu.RLock()
	hit := s.cache.get(index)
	s.mu.RUnlock()
	if hit != nil {
		*log = *hit
		return nil
	}
	if hit = s.ahead.get(index); hit != nil { // the cache may be smaller than what is under way
		*log = *hit
		return nil
	}
	err := s.disk.GetLog(index, log)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	s.fatal(damaged(s.dir, s.fileOf(index), fmt.Errorf("log entry %d: %w", index, err)))
	runtime.Goexit()
	return err
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries are on disk when it returns, but for
// those of a leader that may run ahead.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	var err error
	if mayRunAhead(s.raft.Load(), logs) {
		err = s.ahead.add(logs, s.append)
	} else if err = s.ahead.settle(); err == nil {
		err = s.append(logs)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range logs {
		s.cache.add(l)
	}
	return nil
}

// append has entries on disk when it returns.
func (s *logStore) append(logs []*raft.Log) error {
	return s.write("append to the log", func() error {
		if err := s.closeGap(logs); err != nil {
			return err
		}
		return s.disk.StoreLogs(logs)
	})
}

// Close implements io.Closer: all that was taken is on disk before.
func (s *logStore) Close() error {
	failed := s.ahead.settle() // that has been said when it failed
	s.ahead.wg.Wait()
	if failed != nil {
		return errors.Join(fmt.Errorf("not all of the log is on disk: %w", failed), s.disk.Close())
	}
	return s.disk.Close()
}

// closeGap empties a log that takes no gap and ends before these entries do begin.
// raft appends behind a gap only where a snapshot that it has restored fills it,
// and empties such a log when it installs one; a node that ended before that was
// done has the old log and the new snapshot.
func (s *logStore) closeGap(logs []*raft.Log) error {
	if len(logs) == 0 || !s.IsMonotonic() {
		return nil
	}
	last, err := s.disk.LastIndex()
	if err != nil || last == 0 || logs[0].Index <= last+1 {
		return err
	}
	first, err := s.disk.FirstIndex()
	if err != nil {
		return err
	}
	return s.disk.DeleteRange(first, last)
}

// DeleteRange implements raft.LogStore. It removes from bbolt in chunks, and in the order
// that leaves a log without a gap wherever it is interrupted: the oldest first
// where raft compacts, the newest first where it drops a conflicting end.
func (s *logStore) DeleteRange(lo, hi uint64) error {
	s.mu.Lock()
	s.cache.drop(lo, hi)
	s.mu.Unlock()
	if err := s.ahead.settle(); err != nil {
		return err
	}
	last, err := s.disk.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log's last index: %w", err)
	}
	chunk := uint64(deleteChunk)
	if s.IsMonotonic() { // raft-wal notes what is left of the log, and that costs an fsync however much goes
		chunk = hi - lo + 1
	}
	compacts := hi < last
	for lo <= hi {
		from, to := lo, hi
		if compacts {
			to = min(lo+chunk-1, hi)
			lo = to + 1
		} else {
			if hi-lo >= chunk {
				from = hi - chunk + 1
			}
			hi = from - 1
		}
		if err := s.write("remove log entries", func() error { return s.disk.DeleteRange(from, to) }); err != nil {
			return err
		}
	}
	return nil
}

// Set implements raft.StableStore.
func (s *logStore) Set(key, val []byte) error {
	return s.write("write the vote", func() error { return s.disk.Set(key, val) })
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(key []byte, val uint64) error {
	return s.write("write the term or the vote", func() error { return s.disk.SetUint64(key, val) })
}
