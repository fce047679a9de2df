package node_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// watched starts n nodes with relays between them and waits until all followers
// watch their leader.
func watched(t *testing.T, n int, tune ...func(*node.Config)) (*cluster, [][]*relay, int) {
	t.Helper()
	c := startCluster(t, n, tune...)
	relays := c.relays()
	var l int
	harness.Eventually(t, "every follower to watch its leader", func() error {
		l = c.leader()
		for _, f := range c.others(l) {
			if !c.nodes[f].Watching() || relays[f][l].live('W') == 0 {
				return fmt.Errorf("%s does not", c.configs[f].ID)
			}
		}
		return nil
	})
	return c, relays, l
}

// unmoved watches a cluster in which nobody may call an election for a crash, and
// the leader stays.
func (c *cluster) unmoved(l int) {
	c.t.Helper()
	term := c.nodes[l].Report().Term
	never(c.t, time.Second, "another leader or term", func() bool {
		r := c.nodes[l].Report()
		return r.Leader.ID != c.configs[l].ID || r.Term != term
	})
	c.elections(0)
}

// counts returns how often the nodes suspected a leader, and how many elections
// they called for it.
func (c *cluster) counts() (suspicions, elections int) {
	for _, n := range c.nodes {
		if n != nil {
			a, b := n.CrashCounts()
			suspicions, elections = suspicions+a, elections+b
		}
	}
	return suspicions, elections
}

// unsuspected checks that no node suspects, or has suspected, a leader.
func (c *cluster) unsuspected() {
	c.t.Helper()
	if s, e := c.counts(); s != 0 || e != 0 {
		c.t.Errorf("%d suspicions and %d elections, and nothing has crashed", s, e)
	}
}

// elections checks how many the nodes have called for a crash. How often they
// suspected the leader has no limit: what is left of its appends may be handled
// late on a busy machine, and then a suspicion falls and comes again.
func (c *cluster) elections(want int) {
	c.t.Helper()
	if s, e := c.counts(); e != want {
		c.t.Errorf("%d elections after %d suspicions, want %d", e, s, want)
	}
}

// succeeded waits until another node than l leads, in a later term than that, and
// returns its term.
func (c *cluster) succeeded(l int, term uint64, what string) (next uint64) {
	c.t.Helper()
	harness.Eventually(c.t, what, func() error {
		for _, i := range c.others(l) {
			if r := c.nodes[i].Report(); r.Primary && r.Term > term {
				next = r.Term
				return nil
			}
		}
		return fmt.Errorf("none yet")
	})
	return next
}

// stable is for tests in which the leader is to stay: on a machine as busy as one
// that runs tests the usual heartbeat timeout may pass.
func stable(cfg *node.Config) {
	timeouts(cfg, 2*time.Second)
	cfg.DiskTimeout = harness.Patience
}

// steady is stable for tests that wait for no timeout: a heartbeat may be many seconds
// late. See also settle.
func steady(cfg *node.Config) {
	stable(cfg)
	timeouts(cfg, 10*time.Second)
}

func TestCutWatchIsNoCrash(t *testing.T) {
	t.Parallel()
	c, relays, l := watched(t, 3, stable)
	f := c.others(l)[0]
	before := relays[f][l].count('W')
	relays[f][l].cut("W")
	harness.Eventually(t, "a new watch", func() error {
		if relays[f][l].count('W') <= before || !c.nodes[f].Watching() {
			return fmt.Errorf("%d watches so far", relays[f][l].count('W'))
		}
		return nil
	})
	c.unmoved(l)
	c.unsuspected()
}

// Lost packets end no connection and refuse no port, whoever resets the watch.
func TestDroppedPacketsAreNoCrash(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprint("reset=", reset), func(t *testing.T) {
			t.Parallel()
			c, relays, l := watched(t, 3)
			term := c.nodes[l].Report().Term
			for _, f := range c.others(l) {
				defer relays[f][l].drop()()
				defer relays[l][f].drop()()
				if reset {
					relays[f][l].cut("W")
				}
			}
			c.succeeded(l, term, "an election by the heartbeat timeout")
			c.unsuspected()
		})
	}
}

func TestLeaderRefusedToOneFollower(t *testing.T) {
	t.Parallel()
	t.Run("appends go on", func(t *testing.T) {
		t.Parallel()
		c, relays, l := watched(t, 3, stable)
		f := c.others(l)[0]
		relays[f][l].refuse()
		relays[f][l].cut("RCW")
		c.unmoved(l)
		c.unsuspected()
	})
	t.Run("appends stop", func(t *testing.T) {
		t.Parallel()
		c, relays, l := watched(t, 3, stable)
		f := c.others(l)[0]
		for _, r := range []*relay{relays[f][l], relays[l][f]} {
			r.refuse()
			r.cut("RCW")
		}
		harness.Eventually(t, "a suspicion", func() error {
			if s, _ := c.nodes[f].CrashCounts(); s == 0 {
				return fmt.Errorf("none yet")
			}
			return nil
		})
		c.unmoved(l)
	})
}

// A leader whose port refuses everyone but whose appends come is alive.
func TestAppendsSayThatTheLeaderLives(t *testing.T) {
	t.Parallel()
	c, relays, l := watched(t, 5, stable)
	for _, f := range c.others(l) {
		relays[f][l].refuse()
	}
	for _, f := range c.others(l) {
		relays[f][l].cut("RCW")
	}
	c.unmoved(l)
	c.unsuspected()
}

// crashed has all connections to and from a node end and its port refuse, as when
// its process ends.
func (c *cluster) crashed(relays [][]*relay, i int) {
	for j := range c.nodes {
		if j != i {
			relays[j][i].refuse()
			relays[i][j].refuse()
		}
	}
	for j := range c.nodes {
		if j != i {
			relays[j][i].cut("RCW")
			relays[i][j].cut("RCW")
		}
	}
}

// The control of the tests around it: with everything that speaks for a crash,
// the leader is replaced, and by one election.
func TestCrashIsDetected(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c, relays, l := watched(t, n, stable)
			term := c.nodes[l].Report().Term
			c.crashed(relays, l)
			if next := c.succeeded(l, term, "the next leader"); next != term+1 {
				t.Errorf("it leads in term %d, after %d", next, term)
			}
			c.elections(1)
		})
	}
}

// A leader that cannot go on hands nothing over, and ends: a crash to the others,
// also where the program that the node is part of lives on.
func TestFailedLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	l := c.leader()
	harness.Eventually(t, "every follower to watch its leader", func() error {
		for _, f := range c.others(l) {
			if !c.nodes[f].Watching() {
				return fmt.Errorf("%s does not", c.configs[f].ID)
			}
		}
		return nil
	})
	term := c.nodes[l].Report().Term
	failed := c.nodes[l]
	c.nodes[l] = nil
	failed.Fail(errors.New("the disk is on fire"))
	if err := failed.Close(); err != nil {
		t.Log(err) // one that has failed waits only shortly for raft
	}
	if next := c.succeeded(l, term, "the next leader"); next != term+1 {
		t.Errorf("it leads in term %d, after %d", next, term)
	}
	c.elections(1)
	runtime.KeepAlive(failed) // else the garbage collector may close what it has left open
}

// Another service on a dead leader's port does not prove that it is dead.
func TestStrangerOnTheLeadersPort(t *testing.T) {
	t.Parallel()
	c, relays, l := watched(t, 3)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			s, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = s.Write([]byte("220 a mail server\r\n"))
			s.Close()
		}
	}()
	term := c.nodes[l].Report().Term
	for _, f := range c.others(l) {
		relays[f][l].lead(ln.Addr().String())
		relays[l][f].refuse()
	}
	for _, f := range c.others(l) {
		relays[f][l].cut("RCW")
		relays[l][f].cut("RCW")
	}
	c.succeeded(l, term, "an election by the heartbeat timeout")
	c.unsuspected()
}

// Whoever has no vote neither suspects nor is asked.
func TestLearnerDoesNotSuspect(t *testing.T) {
	t.Parallel()
	c, relays, l := watched(t, 5, stable, func(cfg *node.Config) { cfg.Learner = true })
	f := c.others(l)[0]
	if err := c.nodes[l].Demote(c.configs[f].ID); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the learner to know", func() error {
		if r := c.nodes[f].Report(); r.Role != "learner" {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	term := c.nodes[l].Report().Term
	c.crashed(relays, l)
	harness.Eventually(t, "a leader of those with a vote", func() error {
		for _, i := range c.others(l) {
			if r := c.nodes[i].Report(); i != f && r.Primary && r.Term > term {
				return nil
			}
		}
		return fmt.Errorf("none yet")
	})
	c.elections(1)
	if s, _ := c.nodes[f].CrashCounts(); s != 0 {
		t.Errorf("the learner suspected its leader")
	}
}

// A node that hears its leader agrees to nothing, and one without a vote is not
// even answered.
func TestOpinionOfALiveLeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	l := c.leader()
	f, g := c.others(l)[0], c.others(l)[1]
	leader, term := c.configs[l].ID, c.nodes[l].Report().Term
	for _, i := range []int{l, f} {
		if s, p, why := c.nodes[i].Opinion(c.configs[g].ID, leader, term); s || p || why != "" {
			t.Errorf("%s: %v %v %q", c.configs[i].ID, s, p, why)
		}
	}
	if _, _, why := c.nodes[f].Opinion("n9", leader, term); !strings.Contains(why, "not a voter") {
		t.Errorf("a stranger gets %q", why)
	}
}

func TestCrashDetectionOff(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(cfg *node.Config) { cfg.CrashDetection = false })
	relays := c.relays()
	l := c.leader()
	term := c.nodes[l].Report().Term
	c.crashed(relays, l)
	c.succeeded(l, term, "an election by the heartbeat timeout")
	c.unsuspected()
	if _, _, why := c.nodes[l].Opinion(c.configs[c.others(l)[0]].ID, "n1", term); !strings.Contains(why, "no part") {
		t.Errorf("a suspicion is answered with %q", why)
	}
	for i := range relays {
		for j, r := range relays[i] {
			if r != nil && r.count('W') > 0 {
				t.Errorf("%s watched %s", c.configs[i].ID, c.configs[j].ID)
			}
		}
	}
}
