package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Every node is stopped and started again in turn, the leader of the moment
// among them, while clients write: none of them sees an error, and nothing that
// was acknowledged is missing.
func TestRollingRestartUnderLoad(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"bolt", "wal"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			// A busy machine must not cost a leader its lease, and a write its answer.
			rollingRestart(t, harness.Start(t, harness.Options{NodeArgs: []string{"--log-store", store, "--lease-timeout", "300ms"}}))
		})
	}
}

func rollingRestart(t *testing.T, c *harness.Cluster) {
	w := startWriters(c, c.Front, writerCount)
	w.progress(200)
	for range 2 {
		for _, p := range c.Nodes {
			leads, start := c.Leader() == p, time.Now()
			if code := p.Stop(); code != 0 {
				t.Errorf("%s exits %d", p.Name, code)
			}
			t.Logf("%s ended after %v; it led: %v", p.Name, time.Since(start), leads)
			w.progress(100)
			p.Start()
			c.WaitReady()
		}
	}
	w.stopAndWait()
	w.onlyInDoubt(t, 0)
	w.noneLost(t)
}

// Leadership goes to a node that can take it, not to one that has stopped
// answering though its log is as long.
func TestHandOverPassesOverStoppedNode(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: patient})
	c.Put("a", "v")
	var leader, stopped, heir *harness.Process
	harness.Eventually(t, "a leader that misses a stopped node", func() error {
		if stopped != nil {
			stopped.Signal(syscall.SIGCONT) // on a busy machine the lead may have gone to the other one
		}
		leader = c.Leader()
		stopped, heir = c.Followers()[0], c.Followers()[1]
		pause(t, stopped)
		return awaitSilence(c, leader, stopped, 3*time.Second) // longer than the heartbeat timeout: until then it may be an heir
	})
	if code := leader.Stop(); code != 0 {
		t.Errorf("exits %d", code)
	}
	log := leader.Log()
	if !strings.Contains(log, "leadership handed over") || !strings.Contains(log, fmt.Sprintf(`"to":%q`, heir.Name)) ||
		strings.Contains(log, "did not take leadership over") {
		t.Errorf("it did not hand over to %s at once", heir.Name)
	}
}

// awaitSilence returns nil once the leader has had no answer from the peer for d, and
// an error where it leads no more.
func awaitSilence(c *harness.Cluster, leader, peer *harness.Process, d time.Duration) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := c.Try(http.MethodGet, "http://"+leader.Health+"/status", "")
		if err != nil {
			return err
		}
		var s struct {
			Peers []struct {
				ID      string
				LastAck string `json:"last_ack"`
			}
		}
		if err := json.Unmarshal([]byte(a.Body), &s); err != nil {
			return err
		}
		if len(s.Peers) == 0 {
			return fmt.Errorf("%s leads no more", leader.Name)
		}
		for _, p := range s.Peers {
			if ago, err := time.ParseDuration(p.LastAck); p.ID == peer.Name && err == nil && ago > d {
				return nil
			}
		}
		<-tick.C
	}
}

// A leader that nobody can follow stops all the same, and what is in flight is
// answered.
func TestStopWithoutMajority(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: []string{
		"--heartbeat-timeout", "3s", "--election-timeout", "3s", "--lease-timeout", "3s", // it should still lead when it is stopped
	}})
	c.Put("a", "v")
	leader := c.Leader()
	for _, p := range c.Followers() {
		pause(t, p)
	}
	wrote := make(chan harness.Answer, 1)
	go func() {
		a, err := c.Try(http.MethodPut, "http://"+leader.HTTP+"/kv/b", "v")
		if err != nil {
			t.Errorf("the write in flight: %v", err)
		}
		wrote <- a
	}()
	harness.Eventually(t, "the write to be in the log", func() error {
		a, err := c.Try(http.MethodGet, "http://"+leader.Health+"/status", "")
		if err != nil {
			return err
		}
		var s struct {
			Commit uint64
			Log    struct{ Last uint64 }
		}
		if err := json.Unmarshal([]byte(a.Body), &s); err != nil || s.Log.Last <= s.Commit {
			return fmt.Errorf("%+v, %w", s, err)
		}
		return nil
	})
	for _, p := range c.Nodes {
		if p != leader {
			p.Kill()
		}
	}
	if code := leader.Stop(); code != 0 {
		t.Errorf("exits %d", code)
	}
	if a := <-wrote; a.Status != 504 || a.Header.Get("Dengine-Outcome") != "unknown" {
		t.Errorf("the write in flight: %+v", a)
	}
}

func TestStopOfOneNodeAlone(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, Nodes: 1})
	c.Put("a", "v")
	if code := c.Nodes[0].Stop(); code != 0 {
		t.Errorf("exits %d", code)
	}
	if strings.Contains(c.Nodes[0].Log(), "leadership is not") {
		t.Error("it misses somebody to hand over to")
	}
}

// What is in the log when a leader is told to stop is decided before it hands over,
// though its heir alone has it so far: a transfer would make it unknown.
func TestHandOverDecidesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Nodes: 5, NoLB: true, Faults: true, NodeArgs: patient})
	leader := c.Leader()
	for _, p := range c.Followers()[1:] {
		setFault(t, p, "slow 50ms")
	}
	w := startWriters(c, leader.HTTP, writerCount)
	w.progress(100)
	if code := leader.Stop(); code != 0 {
		t.Errorf("exits %d", code)
	}
	w.stopAndWait()
	refused := 0
	for _, a := range w.failed {
		if a.Status != 503 || a.Header.Get("Dengine-Outcome") != "not-applied" {
			t.Errorf("a write ended with %+v", a)
		}
		if strings.Contains(a.Body, "shutting_down") {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no write was refused while the leader was stopping")
	}
	w.noneLost(t)
}
