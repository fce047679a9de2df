package node

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// records are the incarnations that a node has written down, by node id.
type records map[string]string

// note writes a peer's incarnation down unless one is known, and returns the one
// that is; changed says whether that has to go to disk before anyone is told. Closed
// records tell of another incarnation only, and else nothing, "".
func (r records) note(id, incarnation string, closed bool) (known string, changed bool) {
	known, ok := r[id]
	switch {
	case closed && known == incarnation:
		return "", false
	case ok || closed:
		return known, false
	}
	r[id] = incarnation
	return incarnation, true
}

// memory is a node's records, on disk.
type memory struct {
	mu    sync.Mutex
	path  string
	peers records
	// closed: the node has joined later. Its records are those of the leader that let
	// it in. They can show that a peer has lost its memory, and nothing else: the
	// leader may have written that peer down after the loss.
	closed bool
}

// openMemory reads the records, or begins them in a directory that is new.
func openMemory(path string, joined, closed bool) (*memory, error) {
	m := &memory{path: path, closed: closed}
	err := readJSON(path, &m.peers)
	if errors.Is(err, os.ErrNotExist) && !joined {
		m.peers = make(records)
		return m, writeJSON(path, m.peers)
	}
	if err == nil && m.peers == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, damaged(filepath.Dir(path), path, fmt.Errorf("what is known of the peers: %w", err))
	}
	return m, nil
}

// note is records.note, on disk when it returns; known is "" where closed
// records say nothing.
func (m *memory) note(id, incarnation string) (known string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, changed := m.peers.note(id, incarnation, m.closed)
	if !changed {
		return known, nil
	}
	if err := writeJSON(m.path, m.peers); err != nil {
		delete(m.peers, id)
		return "", err
	}
	return known, nil
}

// all returns the records, with that of the node itself.
func (m *memory) all(self, incarnation string) records {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := maps.Clone(m.peers)
	out[self] = incarnation
	return out
}

// learn adds records of another node to those that are there, on disk.
func (m *memory) learn(others records) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, incarnation := range others {
		m.peers.note(id, incarnation, false)
	}
	return writeJSON(m.path, m.peers)
}
