package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A lease takes a majority of voters that take no part in the detection of
// crashes, the leader itself included.
func TestWhoGrantsALease(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name      string
		detecting int // followers that take part in the detection of crashes
		granted   bool
	}{
		{"none detects crashes", 0, true},
		{"one follower does", 1, true},
		{"both followers do", 2, false},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, stable)
			for i := range c.configs {
				c.configs[i].CrashDetection = i > 0 && i <= s.detecting
				c.start(i)
			}
			c.make(0)
			c.put(0, "a", "v")
			lease := node.ReadOptions{Level: node.Lease}
			read := func() {
				t.Helper()
				for i := range c.nodes {
					if got := c.get(i, "a", lease); got.value != "v" {
						t.Errorf("at %s: %+v", c.configs[i].ID, got)
					}
				}
			}
			if !s.granted {
				for range 20 {
					read()
				}
				if n := c.nodes[0].Leased(); n > 0 {
					t.Errorf("%d reads under a lease", n)
				}
				return
			}
			harness.Eventually(t, "a read under the lease", func() error {
				if read(); c.nodes[0].Leased() == 0 {
					return errors.New("none yet")
				}
				return nil
			})
			if c.nodes[1].Leased()+c.nodes[2].Leased() > 0 {
				t.Error("a follower has a lease")
			}
		})
	}
}

// A node that has promised patience to a leader lets it pass when it starts again:
// it has forgotten whom it promised it to.
func TestPromiseOutlivesARestart(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.CrashDetection = false })
	c.stop(0)
	for _, detecting := range []bool{false, true} { // the promise is the earlier run's
		c.configs[0].CrashDetection = detecting
		before := time.Now()
		c.start(0)
		if took := time.Since(before); took < c.configs[0].HeartbeatTimeout {
			t.Errorf("crash detection %v: it took part after %v", detecting, took)
		}
		c.leader()
		c.stop(0)
	}
}
