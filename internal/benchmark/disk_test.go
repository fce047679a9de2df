package benchmark_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// What is written and synced is seen, as this process's bytes and, on a disk that
// has a cache, as a flush.
func TestWritten(t *testing.T) {
	const much = 4 << 20
	before, err := benchmark.Written(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	flushed, err := benchmark.Flushes()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "much"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, much)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	after, err := benchmark.Written(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if n := after - before; n != 0 && (n < much || n > 2*much) { // 0: a folder in memory
		t.Errorf("%d B were written, of %d", n, much)
	}
	if again, err := benchmark.Flushes(); err != nil || again < flushed {
		t.Errorf("%d flushes after %d, %v", again, flushed, err)
	}
	if _, err := benchmark.Written(1 << 30); err == nil {
		t.Error("a process that is not there has written nothing, says Written")
	}
}
