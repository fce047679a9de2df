package node

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// A leader that crashes is found out by its followers' watches long before the
// heartbeat timeout. A follower suspects it when
//
//   - its watch was up and has ended,
//   - the leader's port refuses connections, or another run answers there,
//   - all streams over which that run sent appends have ended and are read to
//     their end, and none of them came after the refusal.
//
// All of them are the work of the kernel of a process that has ended; lost packets
// cause none. What a suspicion is worth is decided by a majority of the voters,
// and who leads next by raft's own votes.

// How long is waited for others.
const (
	opinionPatience = 20 * time.Millisecond // for one's own watch to end, when asked
	opinionGrace    = 2 * opinionPatience   // for the slowest voter, when a majority has answered
	betterPatience  = 50 * time.Millisecond // for a better one to be elected
	againPause      = 10 * time.Millisecond // before the others are asked again
	electionSlice   = time.Millisecond      // for raft to take a TimeoutNow
	electionSlices  = 50                    // before it is given up
)

// suspicion is what this node holds of its leader.
type suspicion struct {
	leader runOf
	term   uint64
	since  time.Time // the dial that was refused began
	cause  error
}

// suspect is the question whether another voter suspects the leader too.
type suspect struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	Rank   rank   `json:"rank"` // the asking node's
	// Promise: it asks the other not to call an election itself.
	Promise bool `json:"promise,omitempty"`
}

// holds says whether everything that the suspicion rests on is still so.
func (n *Node) holds(c *core, s suspicion) bool {
	id, _ := n.leaderToWatch(c)
	return id == s.leader.id && c.raft.CurrentTerm() == s.term && !n.closing.Load() &&
		n.port.streamsOf(s.leader) == 0 &&
		!n.contact.lastAppend().at.After(s.since) && !c.raft.LastContact().After(s.since)
}

// opine answers a voter that suspects the leader.
func (n *Node) opine(from string, q suspect) reply {
	c := n.core.Load()
	if c == nil || !n.cfg.CrashDetection {
		return reply{Error: n.cfg.ID + " takes no part in the detection of crashes"}
	}
	if _, voters := n.members(c); !slices.Contains(voters, raft.ServerID(from)) {
		return reply{Error: from + " is not a voter"}
	}
	s, ok := n.crash.suspects(q.Leader, q.Term)
	o := opinion{Rank: n.rank(c), Suspects: ok && n.holds(c, s)}
	q.Rank.ID = from
	if q.Promise && o.Suspects && !o.Rank.before(q.Rank) {
		o.Promised = n.crash.promise(from, q.Term, clock().Add(n.cfg.ElectionTimeout))
	}
	return reply{Opinion: &o}
}

// rank reads this node's from raft, which gives it as text only.
func (n *Node) rank(c *core) rank {
	stats := c.raft.Stats()
	number := func(name string) uint64 {
		v, _ := strconv.ParseUint(stats[name], 10, 64) // raft formats these itself
		return v
	}
	r := rank{n.cfg.ID, number("last_log_term"), number("last_log_index")}
	if at := number("last_snapshot_index"); at > r.Index { // right after a snapshot came in
		r.Term, r.Index = number("last_snapshot_term"), at
	}
	return r
}

// campaign tries to have the suspected leader replaced, by this node or a better
// one, until there is another leader, the suspicion falls, or ctx ends.
func (n *Node) campaign(ctx context.Context, c *core, s suspicion) {
	n.counters.suspicions.Add(1)
	log := n.log.With(zap.String("leader", s.leader.id), zap.Uint64("term", s.term))
	log.Info("leader suspected to have crashed", zap.NamedError("cause", s.cause))
	n.crash.set(&s)
	defer n.crash.set(nil)
	why := ""
	for n.holds(c, s) {
		if ctx.Err() != nil {
			log.Info("crash not agreed on: it is left to the heartbeat timeout", zap.String("reason", why))
			return
		}
		var pause time.Duration
		if pause, why = n.attempt(ctx, c, s, log); pause == 0 {
			return
		}
		n.crash.wait(ctx, pause)
	}
	if why != "" {
		log.Info("no election called for the crash", zap.String("reason", why))
	}
}

// attempt asks the other voters, and calls an election where they agree. Where it
// does not, it returns why, and when to ask again.
func (n *Node) attempt(ctx context.Context, c *core, s suspicion, log *zap.Logger) (again time.Duration, why string) {
	members, voters := n.members(c)
	others := slices.DeleteFunc(members, func(m healthcheck.Member) bool {
		return !m.Voter || m.ID == n.cfg.ID || m.ID == s.leader.id
	})
	need := quorum(len(voters))
	q := suspect{Leader: s.leader.id, Term: s.term, Rank: n.rank(c)}
	ballots := n.poll(ctx, others, q, func(b []ballot, late bool) bool { return late && suspecting(b) >= need })
	if ok, better, why := mayStart(q.Rank, len(voters), ballots); better {
		return betterPatience, why
	} else if !ok {
		return againPause, why
	}
	if !n.crash.promise(n.cfg.ID, s.term, clock().Add(n.cfg.ElectionTimeout)) {
		return betterPatience, "another was promised the election"
	}
	q.Promise, q.Rank = true, n.rank(c)
	ballots = n.poll(ctx, others, q, func(b []ballot, _ bool) bool { return promised(b) >= need })
	switch {
	case promised(ballots) < need:
		why = "too few voters promised to leave the election to it"
	case !n.callElection(c, s):
		why = "something has changed meanwhile"
	default:
		n.counters.crashElections.Add(1)
		log.Info("election called for the crash", zap.Int("agreed", promised(ballots)), zap.Int("voters", len(voters)),
			zap.Strings("promised", promisers(ballots)), zap.Duration("took", time.Since(s.since)))
		return 0, ""
	}
	n.crash.release(n.cfg.ID)
	return againPause, why
}

func promisers(ballots []ballot) (ids []string) {
	for _, b := range ballots {
		if b.Promised {
			ids = append(ids, b.voter)
		}
	}
	return ids
}

// poll asks voters at once and returns what was answered when all have, when it
// is enough, or after an election timeout. late says that those who have not
// answered had time to.
func (n *Node) poll(ctx context.Context, voters []healthcheck.Member, q suspect, enough func(b []ballot, late bool) bool) []ballot {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ElectionTimeout)
	defer cancel()
	answers := make(chan ballot, len(voters))
	for _, m := range voters {
		wg.Go(func() {
			b := ballot{voter: m.ID}
			r, err := n.port.ask(ctx, m.Raft, question{Suspect: &q})
			if b.err = err; r.Opinion != nil {
				b.opinion = *r.Opinion
				b.Rank.ID = m.ID
			}
			answers <- b
		})
	}
	grace := time.NewTimer(opinionGrace)
	defer grace.Stop()
	var out []ballot
	for late := false; len(out) < len(voters) && !enough(out, late); {
		select {
		case b := <-answers:
			out = append(out, b)
		case <-grace.C:
			late = true
		case <-ctx.Done():
			return out
		}
	}
	return out
}

// callElection sends raft a TimeoutNow, which checks nothing itself: neither that
// this node is a voter and a follower, nor the term. It returns false where the
// suspicion no longer holds or raft is busy for too long.
func (n *Node) callElection(c *core, s suspicion) bool {
	for range electionSlices {
		n.crash.turn.Lock()
		holds := n.holds(c, s)
		taken := holds && c.trans.timeoutNow(electionSlice)
		n.crash.turn.Unlock()
		if taken || !holds {
			return taken
		}
	}
	return false
}
