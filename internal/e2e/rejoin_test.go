package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
)

// removeCommand is what a node that was wiped tells people to run.
var removeCommand = regexp.MustCompile("`dengine-node (remove n[0-9] --at 127\\.0\\.0\\.1:[0-9]+)`, then start n[0-9] with --join")

// A node's folder is lost under load. It is refused, does what its message says, and
// is a voter again whose vote counts. No acknowledged write is lost.
func TestWipedNodeComesBack(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := harness.Start(t, harness.Options{NodeArgs: append([]string{"--snapshot-threshold", "200", "--snapshot-interval", "100ms", "--trailing-logs", "100"}, patient...)})
			w := startWriters(c, c.Front, 4)
			w.progress(200)
			victim := c.Leader()
			if role == "follower" {
				victim = c.Followers()[0]
			}
			victim.Kill()
			if err := os.RemoveAll(victim.Dir); err != nil {
				t.Fatal(err)
			}
			w.progress(200)

			victim.Start()
			var command []string
			harness.Eventually(t, "the wiped node to say how it comes back", func() error {
				r, err := c.Role(victim)
				if err != nil {
					return err
				}
				command = removeCommand.FindStringSubmatch(r.Reason)
				if command == nil || r.Ready {
					return fmt.Errorf("%+v", r)
				}
				return nil
			})
			harness.Eventually(t, "the command in its log", func() error {
				if !strings.Contains(victim.Log(), command[1]) {
					return errors.New("it is not there: " + command[1])
				}
				return nil
			})
			victim.Stop()
			out, err := exec.Command(filepath.Join(harness.Programs(t), "dengine-node"), strings.Fields(command[1])...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), victim.Name+" was removed by leader") {
				t.Fatalf("%s: %v\n%s", command[1], err, out)
			}
			victim.StartWith("--join")
			votesAgain(c, victim)
			w.progress(200)
			readsReach(c, victim)

			for _, other := range c.Nodes { // now its vote is needed
				if other != victim {
					other.Kill()
					w.progress(200)
					other.Start()
					break
				}
			}
			w.stopAndWait()
			c.WaitReady()
			w.noneLost(t)
			w.onlyInDoubt(t, 2*4)
		})
	}
}

// votesAgain waits until a node that was added as a learner is a voter.
func votesAgain(c *harness.Cluster, p *harness.Process) {
	c.T.Helper()
	harness.Eventually(c.T, p.Name+" to be a voter again", func() error {
		a, err := c.Try(http.MethodGet, "http://"+c.Leader().Health+healthcheck.PathMembers, "")
		if err != nil {
			return err
		}
		var m healthcheck.Membership
		if err := json.Unmarshal([]byte(a.Body), &m); err != nil {
			return err
		}
		for _, one := range m.Members {
			if one.ID == p.Name && one.Voter && one.CaughtUp != nil && *one.CaughtUp {
				return nil
			}
		}
		return fmt.Errorf("%s", a.Body)
	})
	for _, step := range []string{"adding a learner", "a learner has caught up and votes now"} {
		harness.Eventually(c.T, fmt.Sprintf("a leader to say %q", step), func() error {
			for _, n := range c.Nodes {
				if strings.Contains(n.Log(), step) {
					return nil
				}
			}
			return errors.New("none has")
		})
	}
}

// readsReach waits until the balancer sends reads to a node.
func readsReach(c *harness.Cluster, p *harness.Process) {
	c.T.Helper()
	harness.Eventually(c.T, "reads to reach "+p.Name, func() error {
		a, err := c.Try(http.MethodGet, "http://"+c.Front+"/kv/w0-0", "")
		if err == nil && (a.Status != http.StatusOK || a.Header.Get(healthcheck.HeaderNode) != p.Name) {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
}

// dengine-up brings a node back, whether its folder is gone or it runs.
func TestUpRejoin(t *testing.T) {
	t.Parallel()
	u := startUp(t, calm...)
	u.pasted("write")
	var s struct {
		Dir    string
		Leader string
	}
	harness.Eventually(t, "a leader in the status", func() error {
		if err := json.Unmarshal([]byte(u.run("status --json")), &s); err != nil || s.Leader == "" {
			return fmt.Errorf("%+v, %w", s, err)
		}
		return nil
	})
	running := "n1"
	if s.Leader == running {
		running = "n2"
	}
	for _, name := range []string{s.Leader, running} {
		if name == s.Leader {
			u.run("kill " + name)
			u.says(name + ` died \(SIGKILL\); `)
			u.says(`n\d leads in term`)
			if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(u.path, "start", name, "--port-offset", u.offset)
			cmd.Env = u.env
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "lost its memory") || !strings.Contains(string(out), "rejoin "+name) {
				t.Errorf("start of a wiped node: %v\n%s", err, out)
			}
		}
		out := u.run("rejoin " + name)
		for _, step := range []string{"was stopped", "was removed from the cluster", "its folder was moved to ", "it is a learner until it has caught up", name + " has caught up and is a voter again"} {
			if !strings.Contains(out, step) {
				t.Errorf("rejoin %s does not say %q:\n%s", name, step, out)
			}
		}
		u.says(name + " has caught up and is a voter again")
	}
	if out := u.pasted("look"); !strings.Contains(out, "3 of 3 nodes run") || strings.Contains(out, "learner") {
		t.Errorf("%s", out)
	}
	if lost, err := filepath.Glob(filepath.Join(s.Dir, "n*.lost-*")); err != nil || len(lost) != 2 {
		t.Errorf("folders that were set aside: %v (%v)", lost, err)
	}
	harness.Eventually(t, "the value that was written first", func() error {
		if out := u.pasted("read"); !strings.Contains(out, `{"value":"alice"}`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	u.run("down")
	if err := <-u.done; err != nil {
		t.Errorf("dengine-up ended with %v", err)
	}
}
