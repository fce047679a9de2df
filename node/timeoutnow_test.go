package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// raft's TimeoutNow checks nothing, so it is sent only where all is as it was when
// the others agreed.
func TestElectionIsCalledOnlyByAFollowerOfThatLeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	l := c.leader()
	f := c.others(l)[0]
	leader, term := c.configs[l].ID, c.nodes[l].Report().Term
	for _, s := range []struct {
		name   string
		i      int
		leader string
		term   uint64
	}{
		{"the leader itself", l, leader, term},
		{"another leader", f, c.configs[f].ID, term},
		{"an earlier term", f, leader, term - 1},
		{"a later term", f, leader, term + 1},
	} {
		if c.nodes[s.i].CallElection(s.leader, s.term) {
			t.Errorf("%s: an election was called", s.name)
		}
	}
	if r := c.nodes[l].Report(); !r.Primary || r.Term != term {
		t.Fatalf("%+v", r)
	}
	harness.Eventually(t, "an election between two appends", func() error {
		if !c.nodes[f].CallElection(leader, term) {
			return fmt.Errorf("refused")
		}
		return nil
	})
	harness.Eventually(t, "it to be won", func() error {
		if r := c.nodes[f].Report(); !r.Primary || r.Term != term+1 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// Between the last look at raft's state and its taking a TimeoutNow that state
// cannot change: raft waits for its observer.
func TestStateStaysDuringTheTurn(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	l := c.leader()
	f := c.others(l)[0]
	term := c.nodes[l].Report().Term
	release := c.nodes[f].HoldTurn()
	if !c.nodes[f].TimeoutNow() {
		t.Error("raft does not take it")
	}
	never(t, 200*time.Millisecond, "another state", func() bool {
		r := c.nodes[f].Report()
		return r.Role != "follower" || r.Term != term
	})
	release()
	harness.Eventually(t, "the election to be won", func() error {
		if r := c.nodes[f].Report(); !r.Primary {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// Should a leader get a TimeoutNow after all, it costs an election and nothing
// that was acknowledged.
func TestTimeoutNowAtALeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable)
	l := c.leader()
	if w := c.do("PUT", c.api(l, "/kv/a"), "v"); w.status != 200 {
		t.Fatalf("%+v", w)
	}
	term := c.nodes[l].Report().Term
	if !c.nodes[l].TimeoutNow() {
		t.Fatal("raft does not take it")
	}
	harness.Eventually(t, "a leader of a later term", func() error {
		if r := c.nodes[c.leader()].Report(); r.Term <= term {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	now := c.leader()
	if w := c.do("PUT", c.api(now, "/kv/b"), "v"); w.status != 200 {
		t.Errorf("%+v", w)
	}
	if r := c.do("GET", c.api(now, "/kv/a"), ""); r.body != `{"value":"v"}` {
		t.Errorf("%+v", r)
	}
	c.sameState()
}
