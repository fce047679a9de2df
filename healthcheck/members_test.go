package healthcheck_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/healthcheck"
)

// member is a node's health port that answers requests for the members.
func member(t *testing.T, answer func(r *http.Request) (int, any)) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, v := answer(r)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // the client may have left
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func notLeader(health string) (int, any) {
	return http.StatusServiceUnavailable, healthcheck.MembersError{Code: "not_leader", Message: "ask the leader", Leader: healthcheck.Member{ID: "n1", Health: health}}
}

func TestRemoveMemberFollowsTheLeader(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	leader := member(t, func(r *http.Request) (int, any) {
		asked <- r.Method + " " + r.URL.Path
		return http.StatusOK, healthcheck.Membership{Node: "n1", Term: 3}
	})
	follower := member(t, func(*http.Request) (int, any) { return notLeader(leader) })
	m, err := healthcheck.RemoveMember(t.Context(), follower, "n2")
	if err != nil || m.Node != "n1" || len(asked) != 1 {
		t.Fatalf("%+v, %v; the leader was asked %d times", m, err, len(asked))
	}
	if got := <-asked; got != "DELETE /members/n2" {
		t.Errorf("asked %s", got)
	}
}

// A leader that has just died is named for a moment: the next one is waited for.
func TestRemoveMemberWaitsForALeader(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	addr := member(t, func(*http.Request) (int, any) {
		switch asked.Add(1) {
		case 1:
			return notLeader("127.0.0.1:1")
		case 2:
			return notLeader("")
		}
		return http.StatusOK, healthcheck.Membership{Node: "n2"}
	})
	if m, err := healthcheck.RemoveMember(t.Context(), addr, "n1"); err != nil || m.Node != "n2" || asked.Load() != 3 {
		t.Errorf("%+v, %v after %d requests", m, err, asked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	never := member(t, func(*http.Request) (int, any) {
		cancel()
		return notLeader("")
	})
	if _, err := healthcheck.RemoveMember(ctx, never, "n1"); !errors.Is(err, context.Canceled) && (err == nil || !strings.Contains(err.Error(), "no leader has removed n1 in time")) {
		t.Errorf("without a leader: %v", err)
	}
}

func TestRemoveMemberIsRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	addr := member(t, func(*http.Request) (int, any) {
		asked.Add(1)
		return http.StatusConflict, healthcheck.MembersError{Code: "no_majority", Message: "n3 does not answer"}
	})
	_, err := healthcheck.RemoveMember(t.Context(), addr, "n2")
	var refused *healthcheck.MembersError
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Code != "no_majority" || err.Error() != "n3 does not answer" || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}

func TestListMembers(t *testing.T) {
	t.Parallel()
	leader := member(t, func(*http.Request) (int, any) {
		return http.StatusOK, healthcheck.Membership{Node: "n1", Leader: healthcheck.Member{ID: "n1"}}
	})
	follows := func(health string) string {
		return member(t, func(*http.Request) (int, any) {
			return http.StatusOK, healthcheck.Membership{Node: "n2", Leader: healthcheck.Member{ID: "n1", Health: health}}
		})
	}
	for _, c := range []struct{ name, at, from string }{
		{"the leader", leader, "n1"}, {"a follower", follows(leader), "n1"}, {"a follower of one that is gone", follows("127.0.0.1:1"), "n2"},
	} {
		if m, err := healthcheck.ListMembers(t.Context(), c.at); err != nil || m.Node != c.from {
			t.Errorf("%s: %+v, %v", c.name, m, err)
		}
	}
	stranger := member(t, func(*http.Request) (int, any) { return http.StatusOK, "welcome" })
	for _, addr := range []string{stranger, "127.0.0.1:1", "no address"} {
		if _, err := healthcheck.ListMembers(t.Context(), addr); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
