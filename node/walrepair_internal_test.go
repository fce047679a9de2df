package node

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/types"
)

// brokenMeta is a walMeta that can fail to keep which segments there are.
type brokenMeta struct {
	*walMeta
	fails bool
}

func (b *brokenMeta) CommitState(s types.PersistentState) error {
	if b.fails {
		return errors.New("no room")
	}
	return b.walMeta.CommitState(s)
}

// openSmallWAL opens a raft-wal with segments of 4 KiB.
func openSmallWAL(t *testing.T, dir string) (*wal.WAL, *brokenMeta) {
	t.Helper()
	meta := &brokenMeta{walMeta: new(walMeta)}
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithSegmentSize(4<<10))
	if err != nil {
		t.Fatal(err)
	}
	return w, meta
}

func holds(t *testing.T, w *wal.WAL, first, last uint64) {
	t.Helper()
	f, err1 := w.FirstIndex()
	l, err2 := w.LastIndex()
	if err1 != nil || err2 != nil || f != first || l != last {
		t.Fatalf("the log is %d-%d, want %d-%d: %v %v", f, l, first, last, err1, err2)
	}
	for i := first; i <= last; i++ {
		var e raft.Log
		if err := w.GetLog(i, &e); err != nil || string(e.Data) != fmt.Sprintf("entry %d", i) {
			t.Fatalf("entry %d: %q, %v", i, e.Data, err)
		}
	}
}

// raft-wal issue 31: after a conflict at the log's end, and a restart, no entry of
// that segment could be read, and raft panicked.
func TestLogOutlivesAConflictAndARestart(t *testing.T) {
	t.Parallel()
	for _, removed := range []uint64{1, 20, 60, 200} { // of one segment, and of several
		dir := t.TempDir()
		w, _ := openSmallWAL(t, dir)
		last := uint64(300)
		for round := range uint64(3) {
			begin := last + 1 - 300
			if round > 0 {
				begin = last - removed + 1
			}
			for i := begin; i <= last; i += 3 {
				if err := w.StoreLogs(entries(i, min(i+2, last))); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.DeleteRange(last-removed+1, last); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w, _ = openSmallWAL(t, dir)
			holds(t, w, 1, last-removed)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A node may end after a segment is full and before that is noted, or have no room to
// note it. Started again it goes on.
func TestLogOutlivesASealThatWasNotNoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, meta := openSmallWAL(t, dir)
	meta.fails = true
	last := uint64(0)
	for w.StoreLogs(entries(last+1, last+2)) == nil {
		if last += 2; last > 10000 {
			t.Fatal("no segment gets full")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w, _ = openSmallWAL(t, dir)
	defer w.Close()
	holds(t, w, 1, last)
	if err := w.StoreLogs(entries(last+1, last+2)); err != nil {
		t.Errorf("the next entry: %v", err)
	}
	holds(t, w, 1, last+2)
}
