package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// raft waits ever longer between two tries to replicate to a peer that is away,
// up to ten seconds, and a peer that is back would get nothing before that is
// over. So the leader makes no second try before the peer answers a heartbeat.
func TestPeerThatIsAwayIsNotTriedInVain(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: patient})
	leader, away := c.Leader(), c.Followers()[0]
	count := func(line string) int {
		n := 0
		for l := range strings.Lines(leader.Log()) {
			if strings.Contains(l, line) && strings.Contains(l, away.Raft) {
				n++
			}
		}
		return n
	}
	away.Kill()
	harness.Eventually(t, "heartbeats to fail", func() error {
		c.Put("k", "v")
		if n := count("failed to heartbeat to"); n < 4 {
			return fmt.Errorf("%d of 4", n)
		}
		return nil
	})
	if n := count("failed to appendEntries to"); n > 2 { // the pipeline's own, and one more
		t.Errorf("%d tries to replicate to a node that is away", n)
	}
	away.Start()
	c.WaitReady()
	c.WaitSame()
}
