package node

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// contact keeps what the transport sees of other nodes: when each peer last
// acknowledged something that this node sent as leader, and when the last append
// came in from a leader. All times are monotonic.
type contact struct {
	mu     sync.Mutex
	acked  map[raft.ServerID]ack
	grants map[raft.ServerID]grant
	append appendSeen
}

// ack is what a peer has acknowledged in this term.
type ack struct {
	term uint64
	sent time.Time // when the latest of it was sent
	// Of what was accepted alone, heartbeats included: only that renews a voter's
	// patience with the leader.
	accepted time.Time // when the latest was sent
	// Of appends alone, since heartbeats are answered past a disk that hangs:
	appended time.Time // when the latest was sent
	index    uint64    // up to which the peer's log is this leader's
}

// appendSeen is the last append with a commit index that raft took from the
// transport. Heartbeats go another way (raft's fast path) and say nothing about
// a follower that is stuck on its disk.
type appendSeen struct {
	term   uint64
	at     time.Time
	commit uint64
}

func newContact() *contact {
	return &contact{acked: make(map[raft.ServerID]ack), grants: make(map[raft.ServerID]grant)}
}

// noteAck counts an answer to something sent at the given time. Answers may
// arrive out of order: the latest sending counts.
func (c *contact) noteAck(peer raft.ServerID, term uint64, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[peer] = c.acked[peer].later(ack{term: term, sent: sent})
}

// noteAppended counts the answer to an AppendEntries.
func (c *contact) noteAppended(peer raft.ServerID, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, sent time.Time) {
	if resp.Term != req.Term {
		return
	}
	now := ack{term: req.Term, sent: sent}
	if resp.Success {
		now.accepted = sent
	}
	if resp.Success && req.PrevLogEntry > 0 { // a heartbeat names no entry
		now.appended, now.index = sent, req.PrevLogEntry+uint64(len(req.Entries))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[peer] = c.acked[peer].later(now)
}

// later joins two acks of a peer: those of the later term, the latest of each.
func (a ack) later(b ack) ack {
	if a.term != b.term {
		if a.term > b.term {
			return a
		}
		return b
	}
	if b.sent.After(a.sent) {
		a.sent = b.sent
	}
	if b.accepted.After(a.accepted) {
		a.accepted = b.accepted
	}
	if b.appended.After(a.appended) {
		a.appended = b.appended
	}
	a.index = max(a.index, b.index)
	return a
}

// heirs are the voters, without self, that could take over from a leader in this
// term: those that acknowledged an append sent at since or later, which a dead
// or stopped node and one with a stuck disk do not. The longest log comes first.
func (c *contact) heirs(voters []raft.ServerID, self raft.ServerID, term uint64, since time.Time) []raft.ServerID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []raft.ServerID
	for _, v := range voters {
		if a := c.acked[v]; v != self && a.term == term && a.index > 0 && !a.appended.Before(since) {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b raft.ServerID) int {
		x, y := c.acked[a], c.acked[b]
		return cmp.Or(cmp.Compare(y.index, x.index), y.appended.Compare(x.appended))
	})
	return out
}

func (c *contact) noteAppend(term, commit uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if term >= c.append.term { // one of an older leader may still have been under way
		c.append = appendSeen{term, at, max(commit, c.append.commit)}
	}
}

func (c *contact) lastAppend() appendSeen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.append
}

// lastAck returns when something was sent to the peer that it acknowledged in
// this term; zero where it has not.
func (c *contact) lastAck(peer raft.ServerID, term uint64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.acked[peer]; a.term == term {
		return a.sent
	}
	return time.Time{}
}

// quorumSent returns the latest time such that a majority of the voters has
// acknowledged, in this term, something sent then or later. self, if a voter,
// counts as of now.
func (c *contact) quorumSent(voters []raft.ServerID, self raft.ServerID, term uint64, now time.Time) time.Time {
	times := make([]time.Time, 0, maxMembers)
	for _, v := range voters {
		if v == self {
			times = append(times, now)
		} else {
			times = append(times, c.lastAck(v, term))
		}
	}
	if len(times) == 0 {
		return time.Time{}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[len(times)/2]
}
