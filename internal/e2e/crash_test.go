package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// crashCounts adds up what the running nodes but one have counted of crashes.
func crashCounts(c *harness.Cluster, but *harness.Process) (suspicions, elections int) {
	c.T.Helper()
	for _, p := range c.Nodes {
		if p == but || !p.Running() {
			continue
		}
		a := c.Do(http.MethodGet, "http://"+p.Health+"/metrics", "")
		suspicions += metric(c.T, a.Body, "suspicions_total")
		elections += metric(c.T, a.Body, "crash_elections_total")
	}
	return suspicions, elections
}

// waitWatching waits until all running followers watch their leader.
func waitWatching(c *harness.Cluster) {
	c.T.Helper()
	harness.Eventually(c.T, "all followers to watch their leader", func() error {
		for _, p := range c.Followers() {
			a, err := c.Try(http.MethodGet, "http://"+p.Health+"/metrics", "")
			if err != nil || metric(c.T, a.Body, "watching") != 1 {
				return fmt.Errorf("%s does not: %w", p.Name, err)
			}
		}
		return nil
	})
}

func metric(t harness.T, text, name string) int {
	t.Helper()
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "dengine_node_"+name+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// nextPrimary waits for a leader of a later term, which clients wait for, among the
// nodes but old.
func nextPrimary(c *harness.Cluster, old *harness.Process, term uint64) (*harness.Process, uint64) {
	c.T.Helper()
	tick := time.NewTicker(time.Millisecond) // finer than Eventually's: it is timed
	defer tick.Stop()
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); <-tick.C {
		for _, p := range c.Nodes {
			if p == old || !p.Running() {
				continue
			}
			if r, err := c.Role(p); err == nil && r.Primary && r.Term > term {
				return p, r.Term
			}
		}
	}
	c.T.Fatalf("no leader after term %d within %v", term, harness.Patience)
	return nil, 0
}

// A killed leader is replaced by the crash being seen, not by the heartbeat
// timeout, each time by exactly one election.
func TestKilledLeaderIsReplaced(t *testing.T) {
	for _, s := range []struct {
		nodes, kills int
		store        string
	}{{3, 20, "bolt"}, {3, 5, "wal"}, {5, 10, "bolt"}, {5, 5, "wal"}} {
		t.Run(fmt.Sprint(s.nodes, s.store), func(t *testing.T) {
			c := harness.Start(t, harness.Options{Nodes: s.nodes, NoLB: true, NodeArgs: []string{
				"--log-store", s.store, "--heartbeat-timeout", "5s", "--election-timeout", "5s", "--lease-timeout", "5s", // which a busy machine does not reach
			}})
			var took []time.Duration
			for range s.kills {
				waitWatching(c)
				leader := c.Leader()
				before, err := c.Role(leader)
				if err != nil {
					t.Fatal(err)
				}
				c.Put("a", "v")
				_, elections := crashCounts(c, leader)
				start := time.Now()
				leader.Kill()
				_, term := nextPrimary(c, leader, before.Term)
				took = append(took, time.Since(start))
				if _, now := crashCounts(c, leader); now != elections+1 || term != before.Term+1 {
					t.Errorf("from term %d to %d with %d elections for the crash, after %v", before.Term, term, now-elections, took[len(took)-1])
				}
				leader.Start()
				c.WaitReady()
			}
			slices.Sort(took)
			t.Logf("from SIGKILL to the next /primary: median %v, worst %v", took[len(took)/2], took[len(took)-1])
		})
	}
}

// A stopped process keeps its connections and its port: nobody takes it for dead.
func TestStoppedLeaderIsNoCrash(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true})
	waitWatching(c)
	leader := c.Leader()
	before, err := c.Role(leader)
	if err != nil {
		t.Fatal(err)
	}
	pause(t, leader)
	nextPrimary(c, leader, before.Term)
	if s, e := crashCounts(c, leader); s != 0 || e != 0 {
		t.Errorf("%d suspicions, %d elections for a crash", s, e)
	}
	leader.Signal(syscall.SIGCONT)
	c.WaitReady()
	if s, e := crashCounts(c, nil); s != 0 || e != 0 {
		t.Errorf("%d suspicions, %d elections for a crash, once it was resumed", s, e)
	}
}

// A leader that is back before anyone has looked has crashed all the same: another
// run of it answers. The followers are stopped meanwhile, for less than their
// heartbeat timeout.
func TestLeaderBackAtOnce(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: []string{"--heartbeat-timeout", "10s", "--election-timeout", "10s", "--lease-timeout", "10s"}})
	waitWatching(c)
	leader := c.Leader()
	before, err := c.Role(leader)
	if err != nil {
		t.Fatal(err)
	}
	followers := c.Followers()
	for _, p := range followers {
		pause(t, p)
	}
	leader.Kill()
	leader.Start()
	harness.Eventually(t, "the leader to be back", func() error {
		_, err := c.Role(leader)
		return err
	})
	for _, p := range followers {
		p.Signal(syscall.SIGCONT)
	}
	next, term := nextPrimary(c, leader, before.Term)
	if _, e := crashCounts(c, leader); e != 1 || term != before.Term+1 {
		t.Errorf("%d elections for a crash, term %d after %d", e, term, before.Term)
	}
	if !strings.Contains(next.Log(), "another run of it answers") {
		t.Errorf("%s does not say why", next.Name)
	}
}
