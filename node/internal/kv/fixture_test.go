package kv_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// told is a state with something of every kind: sessions of no, few and many
// answers, with gaps, at both edges of the window and at the end of all numbers,
// one that was closed and one that is over; answers of every status that is kept;
// idempotency keys.
func told(t *testing.T) *kv.Machine {
	s := &story{t: t, m: new(kv.Machine), term: 3}
	s.mark(func(l *kv.Limits) { l.MaxSessions = 9 })
	write := func(id byte, from, to, step, acked uint64) {
		for n := from; n <= to && n >= from; n += step {
			s.want(in(put("a", "value"), id, n, acked), kv.StatusOK, false)
		}
	}
	s.open(7)
	write(7, 1, 20, 1, 0)
	s.pass(timeout / 2)
	for _, id := range []byte{5, 1, 4, 2, 6, 3} {
		s.open(id)
	}
	write(2, 1, 1, 1, 0)
	write(3, 1, 900, 7, 0)
	write(3, 902, 949, 1, 880)
	s.m.View() // what shares with it is copied from here on
	write(3, 950, 1000, 2, 932)
	write(3, 1001, 1100, 3, 940)
	write(4, kv.Window, kv.Window, 1, 0)
	write(4, kv.Window+1, 2*kv.Window, kv.Window-1, kv.Window)
	last := ^uint64(0)
	s.session(kv.OpRenew, 5, last-40)
	write(5, last-38, last-30, 2, last-40)
	write(5, last-3, last, 1, last-36)
	write(6, 1, 100, 1, 0)
	s.session(kv.OpClose, 6, 0)
	s.do(in(put("a", "x", kv.Condition{Kind: kv.CondAbsent}), 2, 2, 0))
	s.do(in(del("none"), 2, 3, 0))
	for i, key := range []string{"k1", "k2", "k3", "k4", "no room", "k2"} {
		s.do(under(in(put(key, "v"+key[:i%3]), 2, uint64(i+4), 1), key))
	}
	s.term, s.elapsed = 4, 0
	s.pass(timeout / 2)
	s.do(del("k1"))
	return s.m
}

// A snapshot is, byte for byte, what earlier versions wrote of the same state, and
// is read as they wrote it: nodes of two versions compare theirs, and send them to
// each other. Another encoding needs another format number, and a new file beside
// this one.
func TestSnapshotOfEarlierVersions(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/format2.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	m := told(t)
	if got := snapshot(t, m); !bytes.Equal(got, want) {
		t.Errorf("%d bytes that differ from the %d of the file", len(got), len(want))
	}
	back, err := kv.ReadSnapshot(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := snapshot(t, back); !bytes.Equal(got, want) {
		t.Errorf("restored and written again: %d bytes that differ from the %d of the file", len(got), len(want))
	}
	if back.Usage() != m.Usage() {
		t.Errorf("restored: %+v, want %+v", back.Usage(), m.Usage())
	}
}
