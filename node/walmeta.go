package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft-wal/types"
)

// walMetaFile is beside the segments of a raft-wal log.
const walMetaFile = "meta.json"

// walMeta keeps what raft-wal wants kept beside its segments: which of them are
// the log. raft-wal's own store for that is a bbolt
// file without checksums, where one flipped bit makes a segment vanish, and
// raft-wal removes segments that it does not find there. It implements
// types.MetaStore.
type walMeta struct {
	path string
	mu   sync.Mutex
	kept types.PersistentState
}

var _ types.MetaStore = (*walMeta)(nil)

// Load implements types.MetaStore. A folder without the file is a new log.
func (m *walMeta) Load(dir string) (types.PersistentState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.path = filepath.Join(dir, walMetaFile)
	err := readSaved(m.path, &m.kept)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return types.PersistentState{}, unreadable(filepath.Dir(dir), m.path, err)
	}
	mended, changed, err := mendSegments(dir, m.kept)
	if err == nil && changed {
		err = m.commit(mended)
	}
	return m.kept, err
}

// CommitState implements types.MetaStore.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Segments = slices.Clone(s.Segments)
	return m.commit(s)
}

// GetStable implements types.MetaStore. The term and the vote are kept elsewhere.
func (*walMeta) GetStable([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }

// SetStable implements types.MetaStore.
func (*walMeta) SetStable(_, _ []byte) error { return errors.ErrUnsupported }

// commit keeps what is on disk in memory too: nothing else, so that a write that
// failed is not read back.
func (m *walMeta) commit(k types.PersistentState) error {
	if err := writeJSON(m.path, k); err != nil {
		return err
	}
	m.kept = k
	return nil
}

// Close implements types.MetaStore; no file is held.
func (m *walMeta) Close() error { return nil }
