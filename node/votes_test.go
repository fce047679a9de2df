package node_test

import (
	"fmt"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// lead makes a node the leader.
func (c *cluster) lead(i int) {
	c.t.Helper()
	harness.Eventually(c.t, c.configs[i].ID+" to lead", func() error {
		if l := c.leader(); l != i {
			c.nodes[i].CallElection(c.configs[l].ID, c.nodes[l].Report().Term)
			return fmt.Errorf("%s does", c.configs[l].ID)
		}
		return nil
	})
}

// A node that has led keeps connections in raft's pool. That they ended with an
// earlier run of a peer must not cost it that peer's vote.
func TestVoteOverAnEndedConnection(t *testing.T) {
	t.Parallel()
	c, relays, _ := watched(t, 3, stable)
	c.lead(0)
	c.lead(1)
	c.stop(2)
	c.start(2)
	harness.Eventually(t, "both followers to watch the leader", func() error {
		if c.leader() != 1 || !c.nodes[0].Watching() || !c.nodes[2].Watching() {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	c.sameState()
	term := c.nodes[1].Report().Term
	c.crashed(relays, 1)
	harness.Eventually(t, "the first node to lead, at the first try", func() error {
		if r := c.nodes[0].Report(); !r.Primary || r.Term != term+1 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}
