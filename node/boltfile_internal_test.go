package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// boltBytes is a real file, small, with branches, leaves, a value that takes several
// pages, and buckets of which one is kept in its parent.
func boltBytes(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raft.db")
	d, err := openDisk(LogStoreBolt, path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	logs := entries(1, 300)
	logs[100].Data = make([]byte, 9000)
	for _, l := range logs {
		if err := d.StoreLogs([]*raft.Log{l}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What checkBolt lets pass bbolt opens and reads to its end; it would end the whole
// program otherwise. Nothing makes checkBolt itself panic or run on.
func FuzzBoltFile(f *testing.F) {
	whole := boltBytes(f)
	f.Add(uint32(0), byte(0), uint32(0), byte(0), uint32(len(whole)))
	f.Add(uint32(16+48), byte(1), uint32(0), byte(0), uint32(len(whole)))
	f.Add(uint32(4096*3+12), byte(0x80), uint32(4096*4+10), byte(3), uint32(len(whole)))
	f.Add(uint32(4096*5+20), byte(8), uint32(0), byte(0), uint32(4096*9))
	f.Fuzz(func(t *testing.T, at1 uint32, flip1 byte, at2 uint32, flip2 byte, size uint32) {
		b := append([]byte(nil), whole...)
		b[int(at1)%len(b)] ^= flip1
		b[int(at2)%len(b)] ^= flip2
		b = b[:min(int(size), len(b))]
		path := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if checkBolt(path, false, "conf", "logs") != nil {
			return
		}
		d, err := openDisk(LogStoreBolt, path, hclog.NewNullLogger())
		if err != nil {
			t.Fatalf("checkBolt found nothing, bbolt does not open it: %v", err)
		}
		first, err1 := d.FirstIndex()
		last, err2 := d.LastIndex()
		if err1 != nil || err2 != nil || last-first > 1<<20 {
			t.Logf("%d-%d, %v, %v", first, last, err1, err2)
			last = first
		}
		for i := first; i <= last; i++ {
			var l raft.Log
			_ = d.GetLog(i, &l) // what it holds is the checksums' affair
		}
		if err := d.StoreLogs(entries(500, 501)); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
