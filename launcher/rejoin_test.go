package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

func TestSetAside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "n2")
	now := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, there := range []bool{false, true} {
		if there {
			if err := os.WriteFile(filepath.Join(dir, "node.json"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lost, err := setAside(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("the new folder holds %v (%v)", left, err)
		}
		if !there {
			if lost != "" {
				t.Errorf("a folder that was not there is now %s", lost)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(lost, "node.json")); err != nil || lost != dir+".lost-20260102-030405.006" {
			t.Errorf("%s: %v", lost, err)
		}
	}
}

func TestVotes(t *testing.T) {
	t.Parallel()
	leads := func(voter, primary, running bool) []view {
		return []view{{id: "n1", running: running, up: true, report: healthcheck.Report{
			Primary: primary, Members: []healthcheck.Member{{ID: "n1", Voter: true}, {ID: "n2", Voter: voter}},
		}}}
	}
	for _, c := range []struct {
		name                    string
		voter, primary, running bool
		want                    bool
	}{
		{"a voter", true, true, true, true},
		{"a learner", false, true, true, false},
		{"a voter, says one that does not lead", true, false, true, false},
		{"a voter, said one that runs no more", true, true, false, false},
	} {
		if got := votes(leads(c.voter, c.primary, c.running), "n2"); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if votes(leads(true, true, true), "n3") {
		t.Error("a node that is no member votes")
	}
}

// A node is not stopped where the others could not go on without it.
func TestMajorityWithout(t *testing.T) {
	t.Parallel()
	c := &cluster{monitor: newMonitor([]string{"n1", "n2", "n3"}, func(Event) {})}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.plan.Nodes = append(c.plan.Nodes, Node{Process: Process{Name: id}, Health: "health of " + id})
		c.monitor.with(func(tr *tracker, now time.Time) []Event { return tr.started(now, id) })
		c.monitor.with(func(tr *tracker, now time.Time) []Event {
			return tr.observed(now, id, healthcheck.Observation{Up: true})
		})
	}
	if health, err := c.majorityWithout("n2"); err != nil || health == "health of n2" {
		t.Errorf("all run: %s, %v", health, err)
	}
	c.monitor.with(func(tr *tracker, now time.Time) []Event { return tr.paused(now, "n3") })
	var refused *refusal
	if _, err := c.majorityWithout("n2"); !errors.As(err, &refused) {
		t.Errorf("with another paused: %v", err)
	}
	if _, err := c.majorityWithout("n3"); err != nil {
		t.Errorf("with itself paused: %v", err)
	}
}
