package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// crashMetrics adds up what the running nodes count of crashed leaders.
func crashMetrics(c *harness.Cluster) (suspicions, elections int) {
	c.T.Helper()
	for _, p := range c.Nodes {
		if !p.Running() {
			continue
		}
		a := c.Do(http.MethodGet, "http://"+p.Health+"/metrics", "")
		suspicions += metric(c.T, a.Body, "suspicions_total")
		elections += metric(c.T, a.Body, "crash_elections_total")
	}
	return suspicions, elections
}

func metric(t testing.TB, text, name string) int {
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

// nextPrimary waits for a leader of a later term, on the node that is asked most
// often: it is what a client waits for.
func nextPrimary(c *harness.Cluster, term uint64) (*harness.Process, uint64) {
	c.T.Helper()
	deadline := time.Now().Add(harness.Patience)
	for time.Now().Before(deadline) {
		for _, p := range c.Nodes {
			if !p.Running() {
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
			c := harness.Start(t, harness.Options{Nodes: s.nodes, NoLB: true, NodeArgs: []string{"--log-store", s.store}})
			var took []time.Duration
			for range s.kills {
				leader := c.Leader()
				before, err := c.Role(leader)
				if err != nil {
					t.Fatal(err)
				}
				c.Put("a", "v")
				_, elections := crashMetricsBut(c, leader)
				start := time.Now()
				leader.Kill()
				_, term := nextPrimary(c, before.Term)
				took = append(took, time.Since(start))
				if _, now := crashMetricsBut(c, leader); now != elections+1 || term != before.Term+1 {
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

func crashMetricsBut(c *harness.Cluster, not *harness.Process) (suspicions, elections int) {
	for _, p := range c.Nodes {
		if p == not || !p.Running() {
			continue
		}
		a := c.Do(http.MethodGet, "http://"+p.Health+"/metrics", "")
		suspicions += metric(c.T, a.Body, "suspicions_total")
		elections += metric(c.T, a.Body, "crash_elections_total")
	}
	return suspicions, elections
}
