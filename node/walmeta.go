package node

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft-wal/types"
)

// walMetaFile is beside the segments of a raft-wal log.
const walMetaFile = "meta.json"

// walMeta keeps what raft-wal wants kept beside its segments: which of them are
// the log, and the term and the vote. raft-wal's own store for that is a bbolt
// file without checksums, where one flipped bit makes a segment vanish, and
// raft-wal removes segments that it does not find there. It implements
// types.MetaStore.
type walMeta struct {
	path string
	mu   sync.Mutex
	kept walKept
}

type walKept struct {
	Log    types.PersistentState `json:"log"`
	Stable map[string][]byte     `json:"stable"`
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
	mended, changed, err := mendSegments(dir, m.kept.Log)
	if err == nil && changed {
		err = m.commit(walKept{Log: mended, Stable: m.kept.Stable})
	}
	return m.kept.Log, err
}

// CommitState implements types.MetaStore.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Segments = slices.Clone(s.Segments)
	return m.commit(walKept{Log: s, Stable: m.kept.Stable})
}

// GetStable implements types.MetaStore.
func (m *walMeta) GetStable(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kept.Stable[string(key)]), nil
}

// SetStable implements types.MetaStore.
func (m *walMeta) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stable := maps.Clone(m.kept.Stable)
	if stable == nil {
		stable = make(map[string][]byte)
	}
	stable[string(key)] = slices.Clone(value)
	return m.commit(walKept{Log: m.kept.Log, Stable: stable})
}

// commit keeps what is on disk in memory too: nothing else, so that a write that
// failed is not read back.
func (m *walMeta) commit(k walKept) error {
	if err := writeJSON(m.path, k); err != nil {
		return err
	}
	m.kept = k
	return nil
}

// Close implements types.MetaStore; no file is held.
func (m *walMeta) Close() error { return nil }
