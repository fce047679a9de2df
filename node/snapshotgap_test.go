package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A follower is killed after it has stored a leader's snapshot, while it restores
// it: its log still ends before the snapshot.
func TestFollowerKilledWhileItInstallsASnapshot(t *testing.T) {
	for _, store := range []node.LogStore{node.LogStoreBolt, node.LogStoreWAL} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3, stable, func(cfg *node.Config) {
				cfg.LogStore = store
				cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 50, 10, 20*time.Millisecond
			})
			l := c.leader()
			f := c.others(l)[0]
			c.stop(f)
			for i := range 300 {
				if w := c.do("PUT", c.api(l, fmt.Sprint("/kv/", i)), "v"); w.status != 200 {
					t.Fatalf("%+v", w)
				}
			}
			harness.Eventually(t, "a snapshot that the follower lacks", func() error {
				if s := c.nodes[l].Status().Snapshot; s.Index < 100 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
			c.stop(l) // it takes no more of them, and a later leader begins with the end of the follower's log
			// What raft has on disk after snapshot sink.Close and before removeOldLogs.
			src, dst := filepath.Join(c.configs[l].DataDir, "snapshots"), filepath.Join(c.configs[f].DataDir, "snapshots")
			os.RemoveAll(dst)
			if err := os.CopyFS(dst, os.DirFS(src)); err != nil {
				t.Fatal(err)
			}
			c.start(l)
			l = c.leader()
			c.start(f)
			for i := range 30 {
				if w := c.do("PUT", c.api(l, fmt.Sprint("/kv/", i)), "w"); w.status != 200 {
					t.Fatalf("%+v", w)
				}
			}
			harness.Eventually(t, "the follower to have it all", func() error {
				if err := c.nodes[f].Err(); err != nil {
					t.Fatalf("the follower ended: %v", err)
				}
				if a, b := c.nodes[l].Status().Applied, c.nodes[f].Status().Applied; a != b {
					return fmt.Errorf("%d, the leader %d", b, a)
				}
				return nil
			})
			c.sameState()
		})
	}
}
