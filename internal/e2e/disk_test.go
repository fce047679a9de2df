package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// setFault has the node's disk do what node/faults.go says; "" mends it.
func setFault(t *testing.T, p *harness.Process, what string) {
	t.Helper()
	path := filepath.Join(p.Dir, "fault")
	if what == "" {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	tmp := path + ".tmp" // so that no half of it is read
	if err := os.WriteFile(tmp, []byte(what), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// status is what these tests read of /status.
type status struct {
	Role    string
	Term    uint64
	Primary bool
	Reason  string
	Leader  struct{ ID string }
	Disk    struct {
		Stuck  bool
		Stalls int
	}
}

func statusOf(c *harness.Cluster, p *harness.Process) (status, error) {
	var s status
	a, err := c.Try(http.MethodGet, "http://"+p.Health+"/status", "")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(a.Body), &s)
}

// patient are the settings of nodes whose leader a busy machine must not change.
var patient = []string{"--heartbeat-timeout", "2s", "--election-timeout", "2s", "--lease-timeout", "2s"}

// eachStore runs a test on both kinds of log.
func eachStore(t *testing.T, args []string, test func(*testing.T, *harness.Cluster)) {
	t.Parallel()
	for _, store := range []string{"bolt", "wal"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			test(t, harness.Start(t, harness.Options{Faults: true, NodeArgs: append([]string{"--log-store", store}, args...)}))
		})
	}
}

// otherLeader waits for a primary other than old.
func otherLeader(c *harness.Cluster, old *harness.Process) *harness.Process {
	c.T.Helper()
	var now *harness.Process
	harness.Eventually(c.T, "another primary than "+old.Name, func() error {
		for _, p := range c.Nodes {
			if p == old || !p.Running() {
				continue
			}
			if r, err := c.Role(p); err == nil && r.Primary {
				now = p
				return nil
			}
		}
		return fmt.Errorf("none")
	})
	return now
}

// A leader whose disk hangs is deposed while it hangs, says why it does not lead,
// and follows when its disk answers. What it was writing is decided by the others.
func TestLeaderWithHungDiskUnderLoad(t *testing.T) {
	eachStore(t, nil, func(t *testing.T, c *harness.Cluster) {
		w := startWriters(c, c.Front, writerCount)
		w.progress(200)
		old := c.Leader()
		before, err := statusOf(c, old)
		if err != nil {
			t.Fatal(err)
		}
		setFault(t, old, "hang")
		start := time.Now()
		now := otherLeader(c, old)
		t.Logf("%s led %v after the disk of %s hung", now.Name, time.Since(start), old.Name)
		harness.Eventually(t, "the hung node to say so", func() error { // on a busy machine another one may lead sooner
			s, err := statusOf(c, old)
			if err != nil || s.Primary || !s.Disk.Stuck || !strings.Contains(s.Reason, "the disk does not answer") {
				return fmt.Errorf("%+v, %w", s, err)
			}
			return nil
		})
		if a := c.Do(http.MethodPut, "http://"+old.HTTP+"/kv/refused", "v"); a.Status != 503 || a.Header.Get("Dengine-Outcome") != "not-applied" {
			t.Errorf("a write at it: %+v", a)
		}
		if a := c.Do(http.MethodGet, "http://"+old.Health+"/metrics", ""); !strings.Contains(a.Body, "dengine_node_disk_stuck 1") {
			t.Errorf("its metrics do not say so")
		}
		w.progress(200)
		setFault(t, old, "")
		harness.Eventually(t, "the old leader to follow", func() error {
			s, err := statusOf(c, old)
			if err != nil || s.Role != "follower" || s.Term <= before.Term || s.Leader.ID == "" || s.Disk.Stuck || s.Disk.Stalls == 0 {
				return fmt.Errorf("%+v, %w", s, err)
			}
			return nil
		})
		c.WaitReady()
		w.progress(200)
		w.stopAndWait()
		w.onlyInDoubt(t, writerCount)
		w.noneLost(t)
		for _, says := range []string{"the disk hangs", "the disk answers again"} {
			if !strings.Contains(old.Log(), says) {
				t.Errorf("its log does not say %q", says)
			}
		}
	})
}

// A follower whose disk hangs disturbs nobody: no write waits for it and the term
// stays. It gets what it missed when its disk answers.
func TestFollowerWithHungDiskUnderLoad(t *testing.T) {
	eachStore(t, patient, func(t *testing.T, c *harness.Cluster) {
		w := startWriters(c, c.Front, writerCount)
		w.progress(200)
		leader, follower := c.Leader(), c.Followers()[0]
		before, err := statusOf(c, leader)
		if err != nil {
			t.Fatal(err)
		}
		setFault(t, follower, "hang")
		harness.Eventually(t, "the follower to be stuck", func() error {
			if s, err := statusOf(c, follower); err != nil || !s.Disk.Stuck {
				return fmt.Errorf("%+v, %w", s, err)
			}
			return nil
		})
		w.progress(500)
		setFault(t, follower, "")
		c.WaitReady()
		w.progress(200)
		w.stopAndWait()
		if len(w.failed)+len(w.broken) > 0 {
			t.Errorf("writes failed: %v %v", w.failed, w.broken)
		}
		w.noneLost(t)
		if s, err := statusOf(c, leader); err != nil || s.Role != "leader" || s.Term != before.Term {
			t.Errorf("the leader is now %+v, %v; it was %+v", s, err, before)
		}
	})
}

// A disk that fails ends the node at once, with exit code 1 and a message that
// says which file and what to do; the others go on and it can come back.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	for _, f := range []struct{ store, fault, says string }{
		{"bolt", "error", "input/output error"}, {"bolt", "enospc", "make room"},
		{"wal", "error", "input/output error"}, {"wal", "enospc", "make room"},
	} {
		t.Run(f.store+" "+f.fault, func(t *testing.T) {
			t.Parallel()
			c := harness.Start(t, harness.Options{Faults: true, NodeArgs: []string{"--log-store", f.store}})
			w := startWriters(c, c.Front, writerCount)
			w.progress(200)
			leader := c.Leader()
			setFault(t, leader, f.fault)
			diesOfDisk(t, leader, f.says)
			otherLeader(c, leader)
			w.progress(200)
			setFault(t, leader, "")
			leader.Start()
			c.WaitReady()
			w.progress(100)
			w.stopAndWait()
			w.onlyInDoubt(t, writerCount)
			w.noneLost(t)
		})
	}
}

// raft panics when it cannot write its term. The node must end as it does when it
// cannot write an entry.
func TestDiskFailsInElection(t *testing.T) {
	eachStore(t, nil, func(t *testing.T, c *harness.Cluster) {
		c.Put("a", "v")
		leader := c.Leader()
		followers := c.Followers()
		for _, p := range followers {
			setFault(t, p, "error")
		}
		leader.Kill()
		var dead *harness.Process // it asked for votes, or was asked
		harness.Eventually(t, "a follower to meet its disk", func() error {
			for _, p := range followers {
				if !p.Running() {
					dead = p
					return nil
				}
			}
			return fmt.Errorf("both run")
		})
		diesOfDisk(t, dead, "input/output error")
		for _, p := range followers {
			setFault(t, p, "")
		}
		dead.Start()
		leader.Start()
		c.WaitReady()
		if a := c.Do(http.MethodGet, "http://"+c.Leader().HTTP+"/kv/a", ""); a.Body != `{"value":"v"}` {
			t.Errorf("after all are back: %+v", a)
		}
	})
}

func diesOfDisk(t *testing.T, p *harness.Process, says string) {
	t.Helper()
	start := time.Now()
	if code := p.Wait(); code != 1 {
		t.Errorf("%s exits %d", p.Name, code)
	}
	t.Logf("%s ended %v after its disk was told to fail", p.Name, time.Since(start))
	log := p.Log()
	for _, want := range []string{"cannot be written", p.Dir, says, "then start it again"} {
		if !strings.Contains(log, want) {
			t.Errorf("its log does not say %q", want)
		}
	}
	if strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("it panicked")
	}
}

// Programs that people run hold nothing of what tests break disks with.
func TestFaultsAreNotBuiltIn(t *testing.T) {
	t.Parallel()
	const symbol = "faultyDisk"
	for _, p := range []struct {
		dir  string
		want bool
	}{{harness.Programs(t), false}, {harness.FaultyPrograms(t), true}} {
		program, err := os.ReadFile(filepath.Join(p.dir, "dengine-node"))
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(program, []byte(symbol)); got != p.want {
			t.Errorf("%s: contains %s: %v", p.dir, symbol, got)
		}
	}
}
