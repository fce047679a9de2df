package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
)

// What would lose the majority, or is ambiguous, is refused, with the node, its term
// and the reason.
func TestChangesThatAreRefused(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	f, down := c.others(l)[0], c.others(l)[1]
	c.stop(down)
	id := func(i int) string { return c.configs[i].ID }
	for _, q := range []struct {
		name, method string
		at           int
		path, body   string
		status       int
		code, says   string
	}{
		{"the leader", "DELETE", l, "/members/" + id(l), "", 409, "is_leader", "stop it"},
		{"nobody", "DELETE", l, "/members/n9", "", 404, "not_a_member", "n1, n2, n3"},
		{"no id", "DELETE", l, "/members/", "", 400, "bad_request", "id"},
		{"a node without which too few run", "DELETE", l, "/members/" + id(f), "", 409, "no_majority", id(down) + ": "},
		{"at a follower", "DELETE", f, "/members/" + id(down), "", 503, "not_leader", c.configs[l].HealthListen},
		{"adding at a follower", "POST", f, "/members", `{"id":"n1"}`, 503, "not_leader", id(l)},
		{"adding a voter", "POST", l, "/members", fmt.Sprintf(`{"id":%q}`, id(f)), 409, "is_voter", ""},
		{"adding with another address", "POST", l, "/members", fmt.Sprintf(`{"id":%q,"raft":"127.0.0.1:1"}`, id(f)), 409, "other_addresses", "127.0.0.1:1"},
		{"adding one that is not named", "POST", l, "/members", `{"id":"n9","raft":"127.0.0.1:1"}`, 409, "not_named", "initial cluster"},
		{"an unknown field", "POST", l, "/members", `{"id":"n1","vote":"yes"}`, 400, "bad_request", "vote"},
		{"no body", "POST", l, "/members", ``, 400, "bad_request", ""},
		{"another method", "PUT", l, "/members", ``, 405, "method_not_allowed", "GET"},
		{"another method for one", "GET", l, "/members/n1", ``, 405, "method_not_allowed", "DELETE"},
	} {
		a := c.do(q.method, c.health(q.at, q.path), q.body)
		if a.status != q.status || a.code() != q.code || !strings.Contains(a.body, q.says) {
			t.Errorf("%s: %+v, want %d %s and %q", q.name, a, q.status, q.code, q.says)
		}
		if a.header.Get("Dengine-Node") != id(q.at) || a.header.Get("Dengine-Term") == "" {
			t.Errorf("%s: node %q, term %q", q.name, a.header.Get("Dengine-Node"), a.header.Get("Dengine-Term"))
		}
	}
	c.remove(down, f) // two of two run without it
	alone := startCluster(t, 1)
	if a := alone.do("DELETE", alone.health(0, "/members/n1"), ""); a.code() != "last_voter" {
		t.Errorf("the last voter: %+v", a)
	}
}

// Members change one at a time.
func TestSecondChangeMeanwhile(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	first := c.others(l)[0]
	c.stop(first)
	release := c.nodes[l].HangLog()
	n, done := c.nodes[l], make(chan error, 1)
	go func() { done <- n.RemoveMember(t.Context(), c.configs[first].ID) }()
	harness.Eventually(t, "the second change to be refused for the first", func() error {
		if a := c.do("DELETE", c.health(l, "/members/n9"), ""); a.status != http.StatusConflict || a.code() != "change_under_way" {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	release()
	if err := <-done; err != nil {
		t.Errorf("the first: %v", err)
	}
}

// Everybody lists the members; the leader says who has caught up.
func TestMembersAreListed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	c.put(l, "a", "v")
	for i := range c.nodes {
		var m healthcheck.Membership
		harness.Eventually(t, "the members", func() error {
			if err := json.Unmarshal([]byte(c.do("GET", c.health(i, "/members"), "").body), &m); err != nil {
				return err
			}
			for _, one := range m.Members {
				if i == l && (one.CaughtUp == nil || !*one.CaughtUp) {
					return fmt.Errorf("%s has not caught up: %+v", one.ID, m)
				}
			}
			return nil
		})
		if m.Node != c.configs[i].ID || m.Leader.ID != c.configs[l].ID || len(m.Members) != 3 {
			t.Errorf("%+v", m)
		}
		for j, one := range m.Members {
			cfg := c.configs[j]
			if one.ID != cfg.ID || one.Raft != cfg.RaftListen || one.HTTP != cfg.HTTPListen || one.Health != cfg.HealthListen || !one.Voter || (one.CaughtUp != nil) != (i == l) {
				t.Errorf("%+v", one)
			}
		}
	}
}
