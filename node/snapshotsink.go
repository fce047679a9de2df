package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	files, err := s.files.Create(version, index, term, members, membersIndex, trans)
	if err != nil {
		return nil, errors.Join(s.explain(err), s.removeHalf(fmt.Sprintf("%d-%d-*", term, index)))
	}
	sink := &snapshotSink{SnapshotSink: files, store: s, index: index, began: time.Now()}
	_, err = sink.Write(snapshotHead(raft.SnapshotMeta{
		Version: version, ID: sink.ID(), Index: index, Term: term, Configuration: members, ConfigurationIndex: membersIndex,
	}))
	if err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// explain says what can be done about a snapshot that cannot be written. raft tries
// again after the snapshot interval.
func (s *snapshotStore) explain(err error) error {
	return fmt.Errorf("%w: %s; until a snapshot can be written the log grows, and the node tries again",
		err, remedy(filepath.Join(s.path, snapshotState), err))
}

// removeHalf removes what snapshots that never became whole have left, by the
// pattern of their names.
func (s *snapshotStore) removeHalf(pattern string) error {
	halves, err := filepath.Glob(filepath.Join(s.path, pattern+halfSnapshot))
	if err != nil { // the pattern is ours
		panic(err)
	}
	for _, half := range halves {
		// A sink that failed keeps its file open, and with it the room.
		_ = os.Truncate(filepath.Join(half, snapshotState), 0) // there may be none
		if err := os.RemoveAll(half); err != nil {
			return fmt.Errorf("remove what is left of a snapshot: %w", err)
		}
	}
	return nil
}

// errSnapshotOvertaken ends a snapshot during which the leader has sent a newer one.
// raft v1.7.3 would take the older one for its last all the same, and where its log
// is empty, that for the end of its log: it would vote for a candidate that lacks
// what it has acknowledged.
var errSnapshotOvertaken = errors.New("a newer snapshot has come meanwhile: this one is not needed")

// snapshotSink writes one snapshot.
type snapshotSink struct {
	raft.SnapshotSink
	store *snapshotStore
	index uint64
	began time.Time
	took  time.Duration // until it was whole; 0 before that
	state *os.File      // the file that raft writes, for settle; nil before that
}

// Write implements raft.SnapshotSink.
func (s *snapshotSink) Write(b []byte) (int, error) {
	if s.store.stopped() {
		return 0, errSnapshotStopped
	}
	n, err := s.SnapshotSink.Write(b)
	if err != nil {
		err = s.store.explain(err)
	}
	return n, err
}

// Close implements raft.SnapshotSink. raft calls it again right before it takes the
// snapshot for its last.
func (s *snapshotSink) Close() error {
	names, err := s.store.names()
	if err == nil && len(names) > 0 && names[0].index > s.index {
		err = errSnapshotOvertaken
	}
	if err != nil {
		return errors.Join(err, s.Cancel())
	}
	s.release()
	if err = s.SnapshotSink.Close(); err == nil {
		if s.took == 0 {
			s.took = time.Since(s.began)
			s.store.took.Store(int64(s.took))
		}
		return nil
	}
	return errors.Join(s.store.explain(err), s.store.removeHalf(s.ID()))
}

// Cancel implements raft.SnapshotSink. raft's own removes nothing where the disk is
// full, since it first writes out what it still holds.
func (s *snapshotSink) Cancel() error {
	s.release()
	_ = s.SnapshotSink.Cancel()
	return s.store.removeHalf(s.ID())
}
