package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Names that raft's file snapshot store uses.
const (
	snapshotsDir  = "snapshots"
	snapshotMeta  = "meta.json"
	snapshotState = "state.bin"
	halfSnapshot  = ".tmp" // a suffix, until a snapshot is whole
)

// snapshotStore is raft's store of snapshots in files, and strict:
//
// A snapshot's state begins with its meta data, so that the checksum of the state
// covers them too; raft keeps them in a file that has none. Only the newest
// snapshot is ever offered: raft would go back to an older one without a word
// where the newest is damaged, and the log behind it may be gone. What a snapshot
// that failed has left is removed, or it would go on filling the disk.
type snapshotStore struct {
	files *raft.FileSnapshotStore
	dir   string // the data directory
	path  string

	stop     chan struct{} // closed when no more is to be written
	stopOnce sync.Once

	took atomic.Int64 // ns, that the last one that became whole took; 0 for none since the start
}

var _ raft.SnapshotStore = (*snapshotStore)(nil)

// openSnapshots opens the store, removes what was left half, and looks at the
// meta data of all snapshots. raft removes old ones file by file: one that lacks its
// meta data behind a newer one was being removed when the node ended.
func openSnapshots(dir string, retain int, log hclog.Logger) (*snapshotStore, error) {
	s := &snapshotStore{dir: dir, path: filepath.Join(dir, snapshotsDir), stop: make(chan struct{})}
	if err := s.removeHalf("*"); err != nil {
		return nil, err
	}
	var err error
	if s.files, err = raft.NewFileSnapshotStoreWithLogger(dir, retain, log); err != nil {
		return nil, fmt.Errorf("open the snapshots in %s: %w: %s", s.path, err, remedy(s.path, err))
	}
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		_, err := s.readMeta(name)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			err = os.RemoveAll(filepath.Join(s.path, name.String()))
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// snapshotName is the name of a snapshot's folder, as raft makes it.
type snapshotName struct{ term, index, at uint64 }

func (n snapshotName) String() string { return fmt.Sprintf("%d-%d-%d", n.term, n.index, n.at) }

// names are those of all snapshots, the newest first; other things are no business
// of ours.
func (s *snapshotStore) names() ([]snapshotName, error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var out []snapshotName
	for _, e := range entries {
		var n snapshotName
		if _, err := fmt.Sscanf(e.Name(), "%d-%d-%d", &n.term, &n.index, &n.at); err == nil && n.String() == e.Name() {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b snapshotName) int {
		return slices.Compare([]uint64{b.term, b.index, b.at}, []uint64{a.term, a.index, a.at})
	})
	return out, nil
}

// readMeta reads a snapshot's meta data; its folder's name says some of it again.
func (s *snapshotStore) readMeta(name snapshotName) (*raft.SnapshotMeta, error) {
	path := filepath.Join(s.path, name.String(), snapshotMeta)
	var meta raft.SnapshotMeta
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &meta)
	}
	if err == nil && (meta.ID != name.String() || meta.Index != name.index || meta.Term != name.term || meta.Version != raft.SnapshotVersionMax) {
		err = fmt.Errorf("it is of another snapshot: %s at entry %d of term %d, version %d", meta.ID, meta.Index, meta.Term, meta.Version)
	}
	if err != nil {
		return nil, unreadable(s.dir, path, err)
	}
	return &meta, nil
}

// newest is the index of the newest snapshot, 0 where there is none.
func (s *snapshotStore) newest() (uint64, error) {
	list, err := s.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[0].Index, nil
}

// List implements raft.SnapshotStore: the newest, or none.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.names()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	meta, err := s.readMeta(names[0])
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open implements raft.SnapshotStore; raft's store reads the whole state first, to
// check it.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, state, err := s.files.Open(id)
	if err == nil {
		if err = s.takeHead(meta, state); err != nil {
			err = errors.Join(err, state.Close())
		}
	}
	if err != nil {
		err = unreadable(s.dir, filepath.Join(s.path, id, snapshotState), fmt.Errorf("it or the %s beside it: %w", snapshotMeta, err))
		return nil, nil, err
	}
	return meta, state, nil
}

// takeHead reads what a state begins with, compares it with the meta data, and
// makes their size that of what follows.
func (s *snapshotStore) takeHead(meta *raft.SnapshotMeta, state io.Reader) error {
	want := snapshotHead(*meta)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(state, got); err != nil || string(got) != string(want) {
		return errors.New("they do not belong together, or an earlier version wrote them")
	}
	info, err := os.Stat(filepath.Join(s.path, meta.ID, snapshotState))
	if err != nil {
		return err
	}
	if info.Size() != meta.Size {
		return fmt.Errorf("the size is given as %d, and is %d", meta.Size, info.Size())
	}
	meta.Size -= int64(len(want))
	return nil
}

// snapshotHead is what a snapshot's state begins with: a line that holds its meta
// data, but for what is not known before its end and what raft does not use.
func snapshotHead(meta raft.SnapshotMeta) []byte {
	meta.Size, meta.Peers = 0, nil
	b, err := json.Marshal(meta)
	if err != nil { // plain fields always marshal
		panic(err)
	}
	return fmt.Appendf(nil, "dengine snapshot 1 %s\n", b)
}
