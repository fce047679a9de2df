package node_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// stoppedNode is a cluster of one node that was stopped after many writes, with
// snapshots and a log that goes on behind them.
func stoppedNode(t *testing.T, store node.LogStore) (c *cluster, keys string) {
	c = startCluster(t, 1, func(cfg *node.Config) {
		cfg.LogStore = store
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaseTimeout = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 40, 10, 10*time.Millisecond
	})
	put := func(i int) {
		if w := c.do("PUT", c.api(0, fmt.Sprint("/kv/", i)), fmt.Sprint("value ", i)); w.status != 200 {
			t.Fatalf("%+v", w)
		}
	}
	for i := range 200 {
		put(i)
	}
	harness.Eventually(t, "two snapshots, and a log behind the newest", func() error {
		list, _ := filepath.Glob(filepath.Join(c.configs[0].DataDir, "snapshots", "*-*-*"))
		s := c.nodes[0].Status()
		if len(list) != 2 || s.Snapshot.Index < 40 || s.Log.First < 40 {
			put(200)
			return fmt.Errorf("%q, %+v, %+v", list, s.Snapshot, s.Log)
		}
		return nil
	})
	put(201)
	keys = c.do("GET", c.api(0, "/kv?limit=1000"), "").body
	c.stop(0)
	return c, keys
}

// A node whose file was cut or has a flipped bit has the same keys after its start,
// or does not start and names the file and what to do. Snapshots and identity are
// tried here byte by byte, the log in damage_internal_test.go.
func TestNodeWithDamagedFileIsRefusedOrWhole(t *testing.T) {
	t.Parallel()
	for _, store := range []node.LogStore{node.LogStoreBolt, node.LogStoreWAL} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			c, want := stoppedNode(t, store)
			whole := node.ReadFolder(t, c.configs[0].DataDir)
			refused, tries := 0, 0
			try := func(name, what string, hurt func(path string) error) {
				t.Helper()
				tries++
				cfg := c.configs[0]
				cfg.DataDir = filepath.Join(t.TempDir(), "n1")
				whole.Write(t, cfg.DataDir)
				path := filepath.Join(cfg.DataDir, name)
				if err := hurt(path); err != nil {
					t.Fatal(err)
				}
				c.configs[0] = cfg
				n, err := node.Open(cfg, quiet(t))
				if err != nil {
					refused++
					names := filepath.Base(path)
					if filepath.Ext(path) == ".wal" { // or its folder, where raft-wal does not say which
						names = "wal"
					}
					for _, says := range []string{names, cfg.DataDir, "join it again"} {
						if !errors.Is(err, node.ErrDamaged) || !strings.Contains(err.Error(), says) {
							t.Errorf("%s, %s: refused with %v", name, what, err)
							break
						}
					}
					return
				}
				c.nodes[0] = n
				c.leader()
				if got := c.do("GET", c.api(0, "/kv?limit=1000"), "").body; got != want {
					t.Errorf("%s, %s: it has other keys: %s", name, what, got)
				}
				c.stop(0)
			}
			for name, file := range whole {
				if name == "LOCK" { // it only says who holds the folder
					continue
				}
				size, used := file.Size, int64(len(file.Data))
				for _, cut := range []int64{0, used / 2, used - 1, size - 4096} {
					if cut >= 0 && cut < size {
						try(name, fmt.Sprint("cut to ", cut), func(path string) error { return os.Truncate(path, cut) })
					}
				}
				flips := 12
				if used < 1<<10 {
					flips = 40
				}
				for range flips {
					at, bit := rand.Int64N(max(used, 1)), rand.IntN(8)
					try(name, fmt.Sprintf("bit %d of byte %d", bit, at), func(path string) error { return node.FlipBit(path, at, bit) })
				}
			}
			t.Logf("%d of %d refused", refused, tries)
		})
	}
}
