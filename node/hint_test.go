package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

// After a lone write raft tells followers what is committed with its next append,
// which comes a CommitTimeout later: here never. Whoever reads at a follower has
// asked the leader, and knows it from there.
func TestReadAfterALoneWriteWaitsForNoAppend(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable, func(cfg *node.Config) { cfg.CommitTimeout = time.Hour })
	l := c.leader()
	for i := range 20 {
		for j, f := range c.others(l) {
			key := fmt.Sprintf("%d-%d", i, j)
			c.put(l, key, "v")
			o := linearizable
			if i%2 == 1 {
				o = node.ReadOptions{Level: node.Eventual, MinIndex: c.nodes[l].Report().Applied}
			}
			if got := c.get(f, key, o); got.err != nil || got.value != "v" {
				t.Fatalf("%s at %s: %+v", key, c.configs[f].ID, got)
			}
		}
	}
}
