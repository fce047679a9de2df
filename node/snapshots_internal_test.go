package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A node that is killed while an old snapshot is being removed comes back, without
// what is left of it; the newest must be whole.
func TestHalfRemovedSnapshot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost    string // of the files of a snapshot
		newest  bool
		damaged bool
		left    int // snapshots, afterwards
	}{
		"nothing":                    {"", false, false, 2},
		"meta data of an old one":    {snapshotMeta, false, false, 1},
		"state of an old one":        {snapshotState, false, false, 2}, // it goes with the next that is taken
		"meta data of the newest":    {snapshotMeta, true, true, 2},
		"everything, but the folder": {"*", false, false, 1},
	} {
		dir := t.TempDir()
		open := func() (*snapshotStore, error) { return openSnapshots(dir, 2, hclog.NewNullLogger()) }
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		for index := range uint64(2) {
			sink, err := s.Create(raft.SnapshotVersionMax, index+1, 1, raft.Configuration{}, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
		}
		all, err := s.names()
		if err != nil || len(all) != 2 {
			t.Fatal(all, err)
		}
		hurt := all[1]
		if tt.newest {
			hurt = all[0]
		}
		files, err := filepath.Glob(filepath.Join(s.path, hurt.String(), tt.lost))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if tt.lost == "" {
				break
			}
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := open(); errors.Is(err, ErrDamaged) != tt.damaged || (err != nil) != tt.damaged {
			t.Errorf("%s: %v", name, err)
		}
		left, err := s.names()
		if err != nil || len(left) != tt.left || left[0] != all[0] {
			t.Errorf("%s: left %v of %v (%v)", name, left, all, err)
		}
		if index, err := s.newest(); !tt.damaged && (err != nil || index != 2) {
			t.Errorf("%s: newest %d (%v)", name, index, err)
		}
	}
}
