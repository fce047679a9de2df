package node

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"
)

// deleteChunk is how many entries one transaction removes. Appends wait for
// a transaction, so it must be short.
const deleteChunk = 256

// disk is where the log, the term and the vote are kept.
type disk interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// logStore is raft's log and stable store on disk, with the newest entries kept
// in memory, bounded in bytes. Its first failed write ends the node: a node that
// cannot write must not go on winning elections.
type logStore struct {
	disk
	path  string
	watch *diskWatch
	fatal func(error)

	mu    sync.RWMutex
	cache logCache
}

var _ raft.MonotonicLogStore = (*logStore)(nil)

func openLogStore(kind LogStore, dir *dataDir, cacheBytes int, watch *diskWatch, log hclog.Logger, fatal func(error)) (*logStore, error) {
	path := dir.file(logNames[kind])
	d, err := openDisk(kind, path, log)
	if err != nil {
		return nil, fmt.Errorf("open the log %s: %w: restore it from a copy, or empty the data directory and join the node again", path, err)
	}
	return &logStore{
		disk: wrapDisk(dir.path, d), path: path, watch: watch, fatal: fatal, cache: logCache{max: cacheBytes},
	}, nil
}

func openDisk(kind LogStore, path string, log hclog.Logger) (disk, error) {
	if kind == LogStoreWAL {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		meta := new(metadb.BoltMetaDB)
		w, err := wal.Open(path, wal.WithLogger(log.Named("wal")), wal.WithMetaStore(meta))
		if err != nil {
			return nil, err
		}
		return walDisk{w, meta}, nil
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

// walDisk closes the file that raft-wal v0.4.0 keeps its term and vote in, and
// leaves open: until then nobody else could open it, this process included.
type walDisk struct {
	*wal.WAL
	meta *metadb.BoltMetaDB
}

func (w walDisk) Close() error { return errors.Join(w.WAL.Close(), w.meta.Close()) }

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
		s.path, err, remedy(err)))
	return err
}

// remedy is what a person can do about a write that failed.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: mount it writable"
	}
	return "look at the disk in the kernel's log and replace it if it fails"
}

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, log *raft.Log) error {
	s.mu.RLock()
	hit := s.cache.get(index)
	s.mu.RUnlock()
	if hit != nil {
		*log = *hit
		return nil
	}
	return s.disk.GetLog(index, log)
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	err := s.write("append to the log", func() error {
		if err := s.closeGap(logs); err != nil {
			return err
		}
		return s.disk.StoreLogs(logs)
	})
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

// DeleteRange implements raft.LogStore. It removes in chunks, and in the order
// that leaves a log without a gap wherever it is interrupted: the oldest first
// where raft compacts, the newest first where it drops a conflicting end.
func (s *logStore) DeleteRange(lo, hi uint64) error {
	s.mu.Lock()
	s.cache.drop(lo, hi)
	s.mu.Unlock()
	last, err := s.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log's last index: %w", err)
	}
	compacts := hi < last
	for lo <= hi {
		from, to := lo, hi
		if compacts {
			to = min(lo+deleteChunk-1, hi)
			lo = to + 1
		} else {
			if hi-lo >= deleteChunk {
				from = hi - deleteChunk + 1
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

// logCache holds a run of entries without a gap, the newest there are.
type logCache struct {
	max   int
	bytes int
	logs  []*raft.Log
}

func (c *logCache) get(index uint64) *raft.Log {
	if len(c.logs) == 0 || index < c.logs[0].Index || index-c.logs[0].Index >= uint64(len(c.logs)) {
		return nil
	}
	return c.logs[index-c.logs[0].Index]
}

func (c *logCache) add(l *raft.Log) {
	if n := len(c.logs); n > 0 && c.logs[n-1].Index+1 != l.Index {
		c.reset()
	}
	c.logs = append(c.logs, l)
	c.bytes += logBytes(l)
	evict := 0
	for c.bytes > c.max && evict < len(c.logs) {
		c.bytes -= logBytes(c.logs[evict])
		c.logs[evict] = nil // the array behind lives on until append moves it
		evict++
	}
	c.logs = c.logs[evict:]
}

// drop forgets the range. What raft drops is an end or a beginning; anything
// else forgets everything, which is always right.
func (c *logCache) drop(lo, hi uint64) {
	if len(c.logs) == 0 || hi < c.logs[0].Index || lo > c.logs[len(c.logs)-1].Index {
		return
	}
	first := c.logs[0].Index
	if hi >= c.logs[len(c.logs)-1].Index || lo > first {
		c.reset()
		return
	}
	for range hi - first + 1 {
		c.bytes -= logBytes(c.logs[0])
		c.logs[0] = nil
		c.logs = c.logs[1:]
	}
}

func (c *logCache) reset() { c.logs, c.bytes = nil, 0 }

// logBytes counts an entry with the memory that it costs beside its data.
func logBytes(l *raft.Log) int { return len(l.Data) + len(l.Extensions) + 128 }
