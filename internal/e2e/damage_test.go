package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// flipBits flips a bit in every 64th byte of the first part of a file.
func flipBits(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	n, _ := f.ReadAt(b, 0) // what there is
	for at := 64; at < n; at += 64 {
		b[at] ^= 0x10
	}
	_, err = f.WriteAt(b[:n], 0)
	return errors.Join(err, f.Close())
}

// A node with a damaged file does not start: it exits 1 and says which file it is
// and what to do, in words and not in a stack. The others do not miss it.
func TestNodeWithDamagedFileExits(t *testing.T) {
	t.Parallel()
	for _, d := range []struct{ store, file string }{
		{"bolt", "raft.db"}, {"bolt", "node.json"}, {"bolt", "peers.json"}, {"bolt", "log.end"}, {"bolt", "snapshots/*/state.bin"},
		{"wal", "wal/*.wal"}, {"wal", "wal/meta.json"}, {"wal", "snapshots/*/meta.json"},
	} {
		t.Run(d.store+" "+strings.ReplaceAll(d.file, "/", " "), func(t *testing.T) {
			t.Parallel()
			c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: []string{
				"--log-store", d.store, "--snapshot-threshold", "30", "--snapshot-interval", "20ms", "--trailing-logs", "10",
			}})
			p := c.Followers()[0]
			for i := 0; ; i++ {
				c.Put(fmt.Sprint("k", i), "v")
				if list, _ := filepath.Glob(filepath.Join(p.Dir, "snapshots", "*-*-*[0-9]")); i > 40 && len(list) > 0 {
					break
				}
			}
			p.Kill()
			files, err := filepath.Glob(filepath.Join(p.Dir, filepath.FromSlash(d.file)))
			if err != nil || len(files) == 0 {
				t.Fatalf("%q, %v", files, err)
			}
			for _, file := range files {
				if err := flipBits(file); err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(file); err != nil || info.Size() < 200 { // too short for that
					if err := os.Truncate(file, info.Size()/2); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.Start()
			if code := p.Wait(); code != 1 {
				t.Errorf("it exits %d", code)
			}
			log := p.Log()
			for _, want := range []string{filepath.Base(d.file), p.Dir, "join it again", "README"} {
				if !strings.Contains(log, strings.TrimPrefix(want, "*")) {
					t.Errorf("it does not say %q", want)
				}
			}
			if strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
				t.Error("it panicked")
			}
			c.Put("after", "v")
		})
	}
}
