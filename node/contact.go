package node

import (
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
	append appendSeen
}

// ack: the peer acknowledged, in this term, something sent at that time.
type ack struct {
	term uint64
	sent time.Time
}

// appendSeen is the last append with a commit index that raft took from the
// transport. Heartbeats go another way (raft's fast path) and say nothing about
// a follower that is stuck on its disk.
type appendSeen struct {
	term   uint64
	at     time.Time
	commit uint64
}

func newContact() *contact { return &contact{acked: make(map[raft.ServerID]ack)} }

// noteAck counts an answer to something sent at the given time. Answers may
// arrive out of order: the latest sending counts.
func (c *contact) noteAck(peer raft.ServerID, term uint64, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.acked[peer]; term > a.term || (term == a.term && sent.After(a.sent)) {
		c.acked[peer] = ack{term, sent}
	}
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
