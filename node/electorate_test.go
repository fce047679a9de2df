package node_test

import (
	"fmt"
	"testing"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A round asks those who have a vote now, not those who had one when the last round
// began.
func TestRoundsFollowTheMembers(t *testing.T) {
	t.Parallel()
	// Who is demoted stays a learner: else it is soon promoted again, and nobody has seen it.
	c := startCluster(t, 5, steady, func(cfg *node.Config) { cfg.Learner = true })
	l := c.leader()
	voters := c.nodes[l].Electorate()
	for demoted, want := range []struct{ others, majority int }{{4, 3}, {3, 3}, {2, 2}} {
		if demoted > 0 {
			if err := c.nodes[l].Demote(c.configs[c.others(l)[demoted]].ID); err != nil {
				t.Fatal(err)
			}
		}
		harness.Eventually(t, "the electorate", func() error {
			if others, majority := voters(); others != want.others || majority != want.majority {
				return fmt.Errorf("%d others, a majority of %d; want %+v", others, majority, want)
			}
			return nil
		})
	}
}
