package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// wipe stops a node and empties its folder.
func (c *cluster) wipe(i int) {
	c.t.Helper()
	c.stop(i)
	if err := os.RemoveAll(c.configs[i].DataDir); err != nil {
		c.t.Fatal(err)
	}
}

// rejoin starts a wiped node to be added as a learner.
func (c *cluster) rejoin(i int) {
	c.t.Helper()
	c.configs[i].Join = true
	c.start(i)
}

// says waits until a node gives a reason that contains all the texts.
func (c *cluster) says(i int, texts ...string) {
	c.t.Helper()
	harness.Eventually(c.t, fmt.Sprintf("%s to say %q", c.configs[i].ID, texts), func() error {
		r := c.role(i, "")
		for _, text := range texts {
			if !strings.Contains(r.Reason, text) {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
}

// remove removes a member by way of another node, whoever leads.
func (c *cluster) remove(i, at int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), harness.Patience)
	defer cancel()
	if _, err := healthcheck.RemoveMember(ctx, c.configs[at].HealthListen, c.configs[i].ID); err != nil {
		c.t.Fatal(err)
	}
}

// becomes waits until all running nodes have node i as a voter, or as a learner.
func (c *cluster) becomes(i int, voter bool) {
	c.t.Helper()
	harness.Eventually(c.t, fmt.Sprintf("%s to be a voter (%t)", c.configs[i].ID, voter), func() error {
		for j, n := range c.nodes {
			if n == nil {
				continue
			}
			found := false
			for _, m := range c.role(j, "").Members {
				found = found || m.ID == c.configs[i].ID && m.Voter == voter
			}
			if r := c.role(i, ""); !found || !r.Ready {
				return fmt.Errorf("%s, of which %s says %+v", c.configs[j].ID, c.configs[i].ID, r)
			}
		}
		return nil
	})
}

// The way back of a node whose folder was lost: refused while it is a voter, with the
// commands; then removed, a learner, and a voter whose vote counts.
func TestWipedNodeRejoins(t *testing.T) {
	t.Parallel()
	for _, store := range []node.LogStore{node.LogStoreBolt, node.LogStoreWAL} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3, steady, func(cfg *node.Config) {
				cfg.LogStore = store
				cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = 20, 10*time.Millisecond, 5
			})
			l := c.leader()
			wiped, other := c.others(l)[0], c.others(l)[1]
			id := c.configs[wiped].ID
			for k := range 100 {
				c.put(l, fmt.Sprint("k", k), "v")
			}
			c.wipe(wiped)
			c.start(wiped)
			c.says(wiped, "lost its memory", "dengine-node remove "+id+" --at 127.0.0.1:", "--join")
			c.stop(wiped)
			c.rejoin(wiped) // before it is removed: it waits, and says for what
			c.says(wiped, "is still a voter", "dengine-node remove "+id+" --at 127.0.0.1:")
			if c.role(wiped, "").Ready {
				t.Error("a voter with an empty folder is ready")
			}
			c.remove(wiped, other)
			c.becomes(wiped, true)
			c.sameState()
			// Its flags are harmless from now on, with or without.
			c.stop(wiped)
			c.configs[wiped].Join = false
			c.start(wiped)
			c.becomes(wiped, true)
			for _, i := range c.others(wiped) {
				if i != c.leader() {
					c.stop(i)
					break
				}
			}
			c.put(c.leader(), "with its vote", "v")
			c.sameState()
		})
	}
}

// While a node comes back the leader changes, and changes again.
func TestWipedNodeRejoinsWhileTheLeaderChanges(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 5, steady)
	wiped := c.others(c.leader())[0]
	c.put(c.leader(), "a", "v")
	c.wipe(wiped)
	l := c.leader()
	c.remove(wiped, c.others(l)[0])
	c.rejoin(wiped)
	for range 2 {
		c.stop(l)
		harness.Eventually(t, "another leader", func() error {
			for i, n := range c.nodes {
				if n != nil && c.role(i, "").Primary {
					return nil
				}
			}
			return errors.New("none yet")
		})
		c.start(l)
		c.becomes(wiped, true)
		l = c.leader()
	}
	c.sameState()
}

// A learner that applies too little stays one, whatever the leader knows of its log;
// and one that is to stay a learner does.
func TestPromotionWaitsForCatchingUp(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	slow := c.others(l)[0]
	release := c.nodes[slow].HoldApply()
	defer release()
	if err := c.nodes[l].Demote(c.configs[slow].ID); err != nil {
		t.Fatal(err)
	}
	for k := range 10 {
		c.put(l, fmt.Sprint("k", k), "v")
	}
	voter := func(i int) bool {
		for _, m := range c.role(l, "").Members {
			if m.ID == c.configs[i].ID {
				return m.Voter
			}
		}
		return false
	}
	never(t, time.Second, "a learner that has not caught up was promoted", func() bool { return voter(slow) })
	release()
	harness.Eventually(t, "the learner to be promoted", func() error {
		if !voter(slow) {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestLearnerThatStaysOne(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady, func(cfg *node.Config) { cfg.Learner = true })
	l := c.leader()
	f := c.others(l)[0]
	c.wipe(f)
	c.remove(f, l)
	c.rejoin(f)
	c.becomes(f, false)
	never(t, time.Second, "it was promoted", func() bool { return c.role(f, "").Role != healthcheck.RoleLearner })
	if r := c.role(f, ""); !r.Replica {
		t.Errorf("the learner serves no reads: %+v", r)
	}
}

// A node that was removed says so, whether it ran meanwhile or not, and disturbs
// nobody.
func TestRemovedNodeSaysSo(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprint("down ", down), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 3, stable)
			l := c.leader()
			f := c.others(l)[0]
			term := c.role(l, "").Term
			if down {
				c.stop(f)
			}
			c.remove(f, l)
			if down {
				c.start(f)
			}
			c.says(f, "removed from the cluster", "--join")
			if r := c.role(f, ""); r.Role != healthcheck.RoleStopped || r.Ready {
				t.Errorf("%+v", r)
			}
			never(t, time.Second, "another leader or term", func() bool {
				r := c.role(l, "")
				return r.Term != term || !r.Primary
			})
		})
	}
}
