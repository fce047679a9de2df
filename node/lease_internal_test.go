package node

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestLeaseUntil(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const s = time.Second
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	patient := func(met time.Duration) grant { return grant{"run", ago(met), 10 * s} }
	voters := []raft.ServerID{"a", "b", "c"}
	five := append([]raft.ServerID{"d", "e"}, voters...)
	for _, tt := range []struct {
		name   string
		voters []raft.ServerID
		acked  map[raft.ServerID]ack
		grants map[raft.ServerID]grant
		left   time.Duration // from now; 0: there is none
	}{
		{"nobody has answered", voters, nil, nil, 0},
		{
			"one of two", voters, map[raft.ServerID]ack{"b": {term: 7, accepted: ago(s)}},
			map[raft.ServerID]grant{"b": patient(2 * s)}, 8 * s, // nine tenths of its patience
		},
		{
			"in an earlier term", voters, map[raft.ServerID]ack{"b": {term: 6, accepted: ago(s)}},
			map[raft.ServerID]grant{"b": patient(2 * s)}, 0,
		},
		{
			"by an earlier run", voters, map[raft.ServerID]ack{"b": {term: 7, accepted: ago(2 * s)}},
			map[raft.ServerID]grant{"b": patient(s)}, 0,
		},
		{
			"answered but not accepted", voters, map[raft.ServerID]ack{"b": {term: 7, sent: ago(s)}},
			map[raft.ServerID]grant{"b": patient(2 * s)}, 0,
		},
		{
			"by one that promises nothing", voters, map[raft.ServerID]ack{"b": {term: 7, accepted: ago(s)}},
			map[raft.ServerID]grant{"b": {"run", ago(2 * s), 0}}, 0,
		},
		{
			"by a learner", voters, map[raft.ServerID]ack{"x": {term: 7, accepted: ago(s)}},
			map[raft.ServerID]grant{"x": patient(2 * s)}, 0,
		},
		{
			"the later of two counts", voters, map[raft.ServerID]ack{"b": {term: 7, accepted: ago(s)}, "c": {term: 7, accepted: ago(3 * s)}},
			map[raft.ServerID]grant{"b": patient(4 * s), "c": patient(4 * s)}, 8 * s,
		},
		{
			"the second of five", five,
			map[raft.ServerID]ack{"b": {term: 7, accepted: ago(s)}, "c": {term: 7, accepted: ago(3 * s)}, "d": {term: 7, accepted: ago(5 * s)}},
			map[raft.ServerID]grant{"b": patient(9 * s), "c": patient(9 * s), "d": patient(9 * s)}, 6 * s,
		},
	} {
		c := newContact()
		for id, a := range tt.acked {
			c.acked[id] = a
		}
		for id, g := range tt.grants {
			c.grants[id] = g
		}
		until := c.leaseUntil(tt.voters, "a", 7)
		if left := until.Sub(now); (tt.left == 0) != until.IsZero() || (tt.left > 0 && left != tt.left) {
			t.Errorf("%s: %v left, want %v", tt.name, left, tt.left)
		}
	}
}

// A new run of a peer makes worthless what earlier ones have answered.
func TestMeet(t *testing.T) {
	t.Parallel()
	c := newContact()
	c.meet("b", verdict{Run: "1", Patience: time.Hour})
	c.noteAppended("b", &raft.AppendEntriesRequest{Term: 7}, &raft.AppendEntriesResponse{Term: 7, Success: true}, time.Now())
	voters := []raft.ServerID{"a", "b", "c"}
	if c.leaseUntil(voters, "a", 7).IsZero() {
		t.Error("no lease")
	}
	c.meet("b", verdict{Run: "1", Patience: time.Hour}) // another connection
	if c.leaseUntil(voters, "a", 7).IsZero() {
		t.Error("no lease after another connection")
	}
	c.meet("b", verdict{Run: "2", Patience: time.Hour})
	if !c.leaseUntil(voters, "a", 7).IsZero() {
		t.Error("a lease by what an earlier run has answered")
	}
}
