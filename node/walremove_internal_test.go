package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func openedWAL(t *testing.T, dir string) walDisk {
	t.Helper()
	d, err := openWAL(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(walDisk) //nolint:forcetypeassert // what openWAL makes
}

// dropSegments fills a log until it has some segments, and drops all entries but
// the last, which it returns.
func dropSegments(t *testing.T, d walDisk) (last uint64) {
	t.Helper()
	entry := []byte(strings.Repeat("x", 1<<20))
	for last < 140 {
		last++
		if err := d.StoreLog(&raft.Log{Index: last, Term: 1, Data: entry}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DeleteRange(1, last-1); err != nil {
		t.Fatal(err)
	}
	return last
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Whoever drops entries does not wait for the room that they took, and no append does.
func TestSegmentsAreRemovedBehind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	d := openedWAL(t, dir)
	d.removed.mu.Lock()
	d.removed.busy = true // nobody removes
	d.removed.mu.Unlock()
	last := dropSegments(t, d)
	if n := len(files(t, dir, "*"+removedSegment)); n < 2 {
		t.Fatalf("%d segments wait to be removed, want all but the last", n)
	}
	if n := len(files(t, dir, "*.wal")); n > 2 {
		t.Errorf("%d segments are left", n)
	}
	if err := d.StoreLog(&raft.Log{Index: last + 1, Term: 1, Data: []byte("next")}); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = openedWAL(t, dir) // as after a crash
	if left := files(t, dir, "*"+removedSegment); len(left) > 0 {
		t.Errorf("a start leaves %v", left)
	}
	var l raft.Log
	if err := d.GetLog(last+1, &l); err != nil || string(l.Data) != "next" {
		t.Errorf("%q, %v", l.Data, err)
	}
	if first, err := d.FirstIndex(); first != last || err != nil {
		t.Errorf("the log begins at %d, want %d: %v", first, last, err)
	}
}

func TestSegmentsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	dropSegments(t, openedWAL(t, dir))
	harness.Eventually(t, "the segments to go", func() error {
		if left := files(t, dir, "*"+removedSegment); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// A file goes piece by piece, and one that is not gone when the log is closed stays.
func TestRemoverStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := newWALRemover(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a"+removedSegment)
	const size = 4*removeBytes + 1
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.remove(path)
	if info, err := os.Stat(path); err != nil || info.Size() != size-removeBytes {
		t.Errorf("%v, %v: want one piece less than %d", info, err, size)
	}
}
