package node

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// watchedDisk shows what happens before entries go.
type watchedDisk struct {
	logDisk
	before func(lo, hi uint64)
}

func (w watchedDisk) DeleteRange(lo, hi uint64) error {
	w.before(lo, hi)
	return w.logDisk.DeleteRange(lo, hi)
}

// The witness of the log's end never says more than the log holds, also where the
// node ends while it removes entries; nor less, once an append has returned.
func TestLogEndNeverSaysTooMuch(t *testing.T) {
	t.Parallel()
	for _, kind := range []LogStore{LogStoreBolt, LogStoreWAL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dir := &dataDir{path: t.TempDir()}
			s, err := openTestStore(kind, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			says := func() mark {
				b, err := os.ReadFile(dir.file(logEndFile))
				if err != nil {
					t.Fatal(err)
				}
				m, err := parseMark(b)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			d := s.disk.(checkedDisk)
			removals := 0
			s.disk = checkedDisk{watchedDisk{d.logDisk, func(lo, hi uint64) {
				removals++
				last, err := d.LastIndex()
				if m := says(); err != nil || (hi >= last && m.index >= lo) {
					t.Errorf("%d-%d of %d go while the witness says %+v, %v", lo, hi, last, m, err)
				}
			}}, d.voteFile, d.end}
			for i, step := range []struct {
				do   func() error
				want mark
			}{
				{func() error { return s.StoreLogs(entries(1, 700)) }, mark{700, 1}},
				{func() error { return s.DeleteRange(1, 100) }, mark{700, 1}},
				{func() error { return s.DeleteRange(301, 700) }, mark{300, 0}},
				{func() error { return s.StoreLogs(entries(301, 302)) }, mark{302, 1}},
				{func() error { return s.DeleteRange(101, 302) }, mark{100, 0}},
				{func() error { return s.StoreLogs(entries(900, 901)) }, mark{901, 1}},
			} {
				if err := step.do(); err != nil || says() != step.want {
					t.Errorf("step %d: the witness says %+v, want %+v: %v", i, says(), step.want, err)
				}
			}
			if removals < 3 {
				t.Errorf("%d removals", removals)
			}
		})
	}
}

// An entry that cannot be read later ends the node by name, and not with raft's panic.
func TestEntryThatCannotBeReadEndsTheNode(t *testing.T) {
	t.Parallel()
	var cause error
	s := openStore(t, LogStoreBolt, 0, func(err error) { cause = err })
	if err := s.StoreLogs(entries(1, 3)); err != nil {
		t.Fatal(err)
	}
	raw := s.disk.(checkedDisk).logDisk // as if by the disk: an entry without its checksum
	if err := raw.StoreLogs([]*raft.Log{{Index: 2, Term: 1, Data: []byte("other")}}); err != nil {
		t.Fatal(err)
	}
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		var l raft.Log
		_ = s.GetLog(2, &l)
		returned = true
	}()
	<-done
	if returned || !errors.Is(cause, ErrDamaged) || !strings.Contains(fmt.Sprint(cause), filepath.Join(s.dir, "raft.db")+": log entry 2") {
		t.Errorf("returned %v, the node ends with %v", returned, cause)
	}
}

// BenchmarkCheckLog is what a start costs: the log of a node that is about to take a
// snapshot, with 1 KiB an entry.
func BenchmarkCheckLog(b *testing.B) {
	for _, kind := range []LogStore{LogStoreBolt, LogStoreWAL} {
		b.Run(string(kind), func(b *testing.B) {
			dir := &dataDir{path: b.TempDir()}
			s, err := openTestStore(kind, dir)
			if err != nil {
				b.Fatal(err)
			}
			cfg := DefaultConfig()
			for from := uint64(1); from < cfg.SnapshotThreshold+cfg.TrailingLogs; from += 64 {
				logs := entries(from, from+63)
				for _, l := range logs {
					l.Data = make([]byte, 1<<10)
				}
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			dir.id.Joined = true
			for b.Loop() {
				s, err := openTestStore(kind, dir)
				if err == nil {
					err = errors.Join(s.check(0), s.Close())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A mark is written as it always was: files of earlier versions are read, and their
// length never changes.
func TestMarkLine(t *testing.T) {
	t.Parallel()
	for m, want := range map[mark]string{
		{}:                               "00000000000000000000 00000000000000000000 ",
		{index: 42, term: 7}:             "00000000000000000042 00000000000000000007 ",
		{math.MaxUint64, math.MaxUint64}: "18446744073709551615 18446744073709551615 ",
	} {
		want += fmt.Sprintf("%08x\n", crc32.Checksum([]byte(want), castagnoli))
		if got := string(m.line()); got != want || len(got) != markBytes {
			t.Errorf("%+v is %q, want %q", m, got, want)
		}
		if back, err := parseMark(m.line()); back != m || err != nil {
			t.Errorf("%+v was read as %+v, %v", m, back, err)
		}
	}
}
