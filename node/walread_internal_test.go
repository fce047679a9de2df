package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// countedFiler counts what raft-wal itself reads of sealed segments.
type countedFiler struct {
	types.SegmentFiler
	reads *atomic.Int64
}

type countedReader struct {
	types.SegmentReader
	reads *atomic.Int64
}

func (f countedFiler) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	r, err := f.SegmentFiler.Open(info)
	return countedReader{r, f.reads}, err
}

func (r countedReader) GetLog(index uint64) (*types.PooledBuffer, error) {
	r.reads.Add(1)
	return r.SegmentReader.GetLog(index)
}

func openAhead(t *testing.T, dir string) (*wal.WAL, *walFiler, *atomic.Int64) {
	t.Helper()
	f, reads := newWALFiler(dir, &walRemover{stop: make(chan struct{})}), new(atomic.Int64)
	f.SegmentFiler = countedFiler{f.SegmentFiler, reads}
	w, err := wal.Open(dir, wal.WithMetaStore(new(walMeta)), wal.WithSegmentFiler(f), wal.WithSegmentSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w, f, reads
}

// What is read ahead is what raft-wal reads: in order, backwards and in none, by one
// or by many, of short entries and of those that are longer than what is read at once.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const n = 3000
	r := rand.New(rand.NewPCG(1, 2))
	w, _, _ := openAhead(t, dir)
	want, long := make([][]byte, n+1), int64(0)
	for i := uint64(1); i <= n; i++ {
		size := r.IntN(3000)
		if r.IntN(100) == 0 {
			size = readAhead - 100 + r.IntN(200)
		}
		want[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2)
		if err := w.StoreLog(&raft.Log{Index: i, Term: 1, Data: want[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w, f, reads := openAhead(t, dir)
	look := func(i uint64) error {
		var l raft.Log
		if err := w.GetLog(i, &l); err != nil || l.Index != i || !bytes.Equal(l.Data, want[i]) {
			return fmt.Errorf("entry %d is %d with %d bytes, not %d: %v", i, l.Index, len(l.Data), len(want[i]), err)
		}
		return nil
	}
	segments := map[*walReader]bool{}
	for i := uint64(1); i <= n; i++ {
		if err := look(i); err != nil {
			t.Fatal(err)
		}
		if segments[f.window.of] = true; len(want[i]) > readAhead-100 {
			long++
		}
	}
	if got := reads.Load(); got > long || len(segments) < 4 {
		t.Errorf("of %d segments raft-wal read %d entries, and %d are long", len(segments), got, long)
	}
	if err := w.GetLog(n+1, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Errorf("behind the end: %v", err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(g)))
			for i := uint64(0); i < n; i++ {
				index := n - i
				if g > 0 {
					index = 1 + r.Uint64N(n)
				}
				if err := look(index); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// An entry that was not committed when the node ended is still in the file, where
// the next one is written, and may have been read ahead with those before it.
func TestReadAheadOfWhatIsWrittenOver(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, _, _ := openAhead(t, dir)
	for i := uint64(1); i <= 3; i++ {
		if err := w.StoreLog(&raft.Log{Index: i, Term: 1, Data: []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(b, "\x00"))
	commit := bytes.LastIndexByte(b[:end-1], segment.FrameCommit) // the last entry's, of 8 bytes
	if end-commit > frameHead {
		t.Fatalf("the last commit is not at %d of %d", commit, end)
	}
	clear(b[commit:end])
	if err := os.WriteFile(files[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	w, f, _ := openAhead(t, dir)
	var l raft.Log
	if err := w.GetLog(2, &l); err != nil || f.window.of == nil {
		t.Fatal(err)
	}
	if last, err := w.LastIndex(); last != 2 || err != nil {
		t.Fatalf("the log ends with %d, %v", last, err)
	}
	for i := uint64(3); i <= 4; i++ {
		if err := w.StoreLog(&raft.Log{Index: i, Term: 2, Data: []byte("new")}); err != nil {
			t.Fatal(err)
		}
	}
	for i := uint64(3); i <= 4; i++ {
		if err := w.GetLog(i, &l); err != nil || l.Term != 2 || string(l.Data) != "new" {
			t.Errorf("entry %d is %q of term %d, %v", i, l.Data, l.Term, err)
		}
	}
}
