package node

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// A leader's lease is the time in which nobody else can have been elected. A voter
// that has accepted an append votes for nobody else before its heartbeat timeout
// has passed (its patience): raft refuses votes and pre-votes while it knows a
// leader. So a leader that a majority has answered knows that it is the only one
// until that time, counted from when it *sent* what was answered, has passed for
// one voter of that majority. It stops leaseMargin earlier, since clocks may run at
// different speeds (Ongaro's thesis, 6.4.1).
//
// Leases and crash detection do not go together, since an election for a crash
// takes no notice of anybody's patience. A voter says in its answer to a hello how
// long its patience is, and one that takes part in the detection of crashes says 0:
// its answers are worth nothing for a lease. An election for a crash takes a
// majority that agrees without the leader, and a lease one that does not take part,
// the leader included: there are never both. A voter that starts again has
// forgotten whom it has answered. It therefore lets the patience of its earlier run
// pass before it takes part in anything (honourLeases), and the leader counts only
// what was sent after it has met the new run.
//
// A lease ends at once where the leader hands over or stops. It needs clocks that
// go on while a process or its machine is paused; linearizable reads need none.

// leaseMargin is the part of a voter's patience that is not used: one in this many.
const leaseMargin = 10

// leased lets look see the newest state where this node's lease holds before and
// after the look. The lease after it is the proof: a process that was stopped in
// between finds it expired.
func (n *Node) leased(ctx context.Context, c *core, look func(*fsm)) bool {
	if !n.leaseHolds(c) {
		return false
	}
	// What is committed may have been applied, and read, on another node already.
	if index := c.raft.CommitIndex(); c.fsm.index.Load() < index && n.awaitIndex(ctx, c, index) != nil {
		return false
	}
	pauseInLease(n)
	look(c.fsm)
	return n.leaseHolds(c)
}

// leaseHolds says that no other node could lead a moment ago: after the call.
func (n *Node) leaseHolds(c *core) bool {
	term, ok := n.leading(c)
	if !ok || n.closing.Load() {
		return false
	}
	until := n.contact.leaseUntil(votersOf(c), raft.ServerID(n.cfg.ID), term)
	return clock().Before(until)
}

// votersOf lists the voters alone: it is asked twice for each read under a lease.
func votersOf(c *core) []raft.ServerID {
	servers := c.raft.GetConfiguration().Configuration().Servers // raft answers from memory
	voters := make([]raft.ServerID, 0, maxMembers)
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s.ID)
		}
	}
	return voters
}

// patience is this node's, 0 where it promises none.
func (c Config) patience() time.Duration {
	if c.CrashDetection {
		return 0
	}
	return c.HeartbeatTimeout
}

// grant is what a run of a peer promises with each append that it accepts.
type grant struct {
	run      string
	since    time.Time // the run was there
	patience time.Duration
}

// meet notes a peer's promise. It is called with a new connection, before anything
// is sent over it.
func (c *contact) meet(peer string, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := raft.ServerID(peer)
	if c.grants[id].run != v.Run {
		c.grants[id] = grant{v.Run, clock(), v.Patience}
	}
}

// leaseUntil is when the first voter's promise ends of the majority whose promises
// last longest. self counts as a voter whose promise does not end.
func (c *contact) leaseUntil(voters []raft.ServerID, self raft.ServerID, term uint64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ends := make([]time.Time, 0, maxMembers)
	need := quorum(len(voters))
	for _, v := range voters {
		a, g := c.acked[v], c.grants[v]
		switch {
		case v == self:
			need--
		case a.term == term && g.patience > 0 && !a.accepted.Before(g.since):
			ends = append(ends, a.accepted.Add(g.patience-g.patience/leaseMargin))
		}
	}
	if len(ends) < need {
		return time.Time{}
	}
	if need == 0 { // a cluster of one: nobody else votes
		return clock().Add(time.Hour)
	}
	slices.SortFunc(ends, func(a, b time.Time) int { return b.Compare(a) })
	return ends[need-1]
}

// honourLeases lets the promise pass that an earlier run of this node may have
// given, and notes what this one promises. It comes before raft.
func (n *Node) honourLeases() error {
	if earlier := n.dir.id.Patience; earlier > 0 {
		timer := time.NewTimer(earlier)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
	if now := n.cfg.patience(); n.dir.id.Patience != now {
		n.dir.id.Patience = now
		return n.dir.saveIdentity()
	}
	return nil
}
