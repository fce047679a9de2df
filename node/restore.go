package node

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
)

// restore puts the newest snapshot into the state machine before raft starts, which
// is told not to (NoSnapshotRestoreOnStart): raft would read it once for its checksum
// and again for what it holds, one after the other, and only after the log was
// checked. Here all three take place at once. Nothing is kept of a snapshot that is
// not whole.
func (c *core) restore(dir string) error {
	list, err := c.snapshots.List()
	if err != nil || len(list) == 0 {
		return err
	}
	checked := make(chan error, 1)
	go func() { checked <- c.snapshots.verify(list[0].ID) }()
	m, err := c.snapshots.load(*list[0])
	if damage := <-checked; damage != nil {
		return damage
	}
	if err != nil {
		return fmt.Errorf("restore snapshot %s: %w: restore the directory %s from a copy, or empty it and join the node again", list[0].ID, err, dir)
	}
	c.fsm.become(m)
	return nil
}

// verify reads a whole snapshot and says what is wrong with it.
func (s *snapshotStore) verify(id string) error {
	_, state, err := s.Open(id)
	if err != nil {
		return err
	}
	return state.Close()
}

// load reads a snapshot's state, of which nobody knows yet whether it is damaged.
func (s *snapshotStore) load(meta raft.SnapshotMeta) (*kv.Machine, error) {
	f, err := os.Open(filepath.Join(s.path, meta.ID, snapshotState))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.takeHead(&meta, f); err != nil {
		return nil, err
	}
	return kv.ReadSnapshot(f)
}
