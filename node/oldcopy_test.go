package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A node whose folder is put back as it was before its last run has forgotten what it
// acknowledged in that run. It ends and says so, also where the peer who knows
// better comes later, and serves again from the newest folder.
func TestOlderCopyOfAFolder(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	c.stop(2)
	dir := c.configs[2].DataDir
	old, newest := dir+".old", dir+".newest"
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	c.start(2)
	c.leader()
	c.knownToAll(2)
	c.stop(2)
	rename(t, dir, newest)
	restore := func() {
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(old))); err != nil {
			t.Fatal(err)
		}
	}
	restore()

	for range 2 { // who supervises a node starts it again when it ends
		n, err := node.Open(c.configs[2], quiet(t))
		wantOlderCopy(t, err, dir)
		if n != nil {
			t.Fatal("it is open")
		}
	}

	// With nobody there to tell it cannot know; it ends when the first is back.
	restore()
	c.stop(0)
	c.stop(1)
	n, err := node.Open(c.configs[2], quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c.start(0)
	select {
	case <-n.Done():
		wantOlderCopy(t, n.Err(), dir)
	case <-time.After(harness.Patience):
		t.Error("it goes on")
	}
	n.Close()

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	rename(t, newest, dir)
	c.start(1)
	c.start(2)
	c.settle()
}

// knownToAll waits until the others have written down that a node was started.
func (c *cluster) knownToAll(i int) {
	c.t.Helper()
	own, err := os.ReadFile(filepath.Join(c.configs[i].DataDir, "node.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(own), `"incarnation": "`)
	incarnation, _, _ := strings.Cut(rest, `"`)
	harness.Eventually(c.t, "the others to know of the start", func() error {
		for _, j := range c.others(i) {
			b, err := os.ReadFile(filepath.Join(c.configs[j].DataDir, "starts.json"))
			if err != nil {
				return err
			}
			if _, of, _ := strings.Cut(string(b), incarnation); !strings.HasPrefix(strings.Join(strings.Fields(of), ""), `":{"number":2,`) {
				return errors.New(string(b))
			}
		}
		return nil
	})
}

func wantOlderCopy(t *testing.T, err error, dir string) {
	t.Helper()
	if !errors.Is(err, node.ErrOlderCopy) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "put the newest copy back") {
		t.Errorf("%v, want one that names %s and what to do", err, dir)
	}
}

// rename renames from, to, from, to, ….
func rename(t *testing.T, names ...string) {
	t.Helper()
	for i := 0; i+1 < len(names); i += 2 {
		if err := os.Rename(names[i], names[i+1]); err != nil {
			t.Fatal(err)
		}
	}
}
