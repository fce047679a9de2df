package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// slowSink is a disk that takes some time for a piece.
type slowSink struct {
	bytes.Buffer
	takes   time.Duration
	most    int             // bytes between two settles
	settled int             // bytes by then
	rests   []time.Duration // as they were asked for
}

func (s *slowSink) settle() error {
	time.Sleep(s.takes)
	s.most, s.settled = max(s.most, s.Len()-s.settled), s.Len()
	return nil
}

func (s *slowSink) rest(d time.Duration) { s.rests = append(s.rests, d) }

// A snapshot goes to the disk a piece at a time, however it is written, and the disk
// is free for the log for most of the time.
func TestSnapshotIsPaced(t *testing.T) {
	t.Parallel()
	const length = 10*pieceBytes + 17
	for _, c := range []struct{ takes, rest time.Duration }{
		{2 * time.Millisecond, 6 * time.Millisecond}, {time.Second, longRest},
	} {
		for _, step := range []int{1000, 256 << 10, 1 << 20, 3<<20 + 1, length} {
			synctest.Test(t, func(t *testing.T) {
				data := bytes.Repeat([]byte("0123456789"), length/10+1)[:length]
				s := &slowSink{takes: c.takes}
				w := &pacedWriter{sink: s}
				for from := 0; from < length; from += step {
					b := data[from:min(from+step, length)]
					if n, err := w.Write(b); n != len(b) || err != nil {
						t.Fatalf("%d of %d, %v", n, len(b), err)
					}
				}
				if !bytes.Equal(s.Bytes(), data) {
					t.Error("something else was written")
				}
				if s.most > pieceBytes || s.Len()-s.settled > pieceBytes || len(s.rests) != 10 {
					t.Errorf("%d bytes in steps of %d: up to %d in a piece, %d not settled at the end, %d rests",
						length, step, s.most, s.Len()-s.settled, len(s.rests))
				}
				for _, d := range s.rests {
					if d != c.rest {
						t.Errorf("a rest of %v after %v, want %v", d, c.takes, c.rest)
					}
				}
			})
		}
	}
}

// settling counts how often a sink of ours settles.
type settling struct {
	*snapshotSink
	times int
}

func (s *settling) settle() error {
	s.times++
	return s.snapshotSink.settle()
}

// raft is given snapshots that are paced, and their files are what they should be.
func TestPersistIsPaced(t *testing.T) {
	t.Parallel()
	store, sink := openSink(t)
	f := filled(4, make([]byte, pieceBytes))
	s := &settling{snapshotSink: sink.(*snapshotSink)}
	if err := (snapshot{f.view()}).Persist(s); err != nil {
		t.Fatal(err)
	}
	if s.times != 4 {
		t.Errorf("4 MiB settle %d times", s.times)
	}
	_, state, err := store.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	back := newFSM(func(err error) { t.Error(err) })
	if err := back.Restore(state); err != nil || back.view().Hash() != f.view().Hash() {
		t.Errorf("another state came back: %v", err)
	}
}

// A node that stops waits for no snapshot, and what there is of it is removed.
func TestSnapshotIsAbandoned(t *testing.T) {
	t.Parallel()
	store, sink := openSink(t)
	w := paced(sink)
	if _, err := w.Write(make([]byte, pieceBytes+1)); err != nil {
		t.Fatal(err)
	}
	store.abandon()
	store.abandon()
	sink.(settler).rest(time.Hour)
	if _, err := w.Write([]byte("more")); !errors.Is(err, errSnapshotStopped) {
		t.Errorf("it goes on: %v", err)
	}
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(store.path, "*")); len(left) != 0 || err != nil {
		t.Errorf("%q is left, %v", left, err)
	}
}

// A snapshot that takes so long that the leader sends a newer one meanwhile is never
// raft's last: not before its end, and not between that and raft's taking note of it.
func TestSnapshotIsOvertaken(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{false, true} {
		store, sink := openSink(t)
		if ended {
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
		}
		newer, err := store.Create(raft.SnapshotVersionMax, 8, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := newer.Close(); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); !errors.Is(err, errSnapshotOvertaken) {
			t.Errorf("ended %v: raft takes it for its last: %v", ended, err)
		}
		if err := newer.Close(); err != nil {
			t.Errorf("the newer one: %v", err)
		}
		if index, err := store.newest(); index != 8 || err != nil {
			t.Errorf("ended %v: the newest is at %d, %v", ended, index, err)
		}
		if left, err := filepath.Glob(filepath.Join(store.path, "*"+halfSnapshot)); len(left) != 0 || err != nil {
			t.Errorf("ended %v: %q is left, %v", ended, left, err)
		}
	}
}

func openSink(t *testing.T) (*snapshotStore, raft.SnapshotSink) {
	t.Helper()
	dir := t.TempDir()
	store, err := openSnapshots(dir, 1, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	sink, err := store.Create(raft.SnapshotVersionMax, 7, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(store.path, sink.ID()+halfSnapshot, snapshotState)); err != nil {
		t.Fatal(err) // what settle opens
	}
	return store, sink
}
