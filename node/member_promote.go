package node

import (
	"context"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// How often members are looked at: learners by the leader, and by every other node
// whether it is a member still.
const (
	tendPause     = 250 * time.Millisecond
	progressPause = 10 * time.Millisecond // between two looks at a learner in one round
)

// progress is how far a node's log is, and whom it follows.
type progress struct {
	Follows string `json:"follows"` // id of the leader whose appends reach it; "" for none
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied"`
	Learner bool   `json:"learner"` // it stays a learner
}

// sayProgress answers the question for it.
func (n *Node) sayProgress() reply {
	r := n.Report()
	if n.core.Load() == nil {
		return reply{Error: n.cfg.ID + " does not run raft: " + r.Reason}
	}
	p := &progress{Term: r.Term, Applied: r.Applied, Learner: n.cfg.Learner}
	if r.Following {
		p.Follows = r.Leader.ID
	}
	return reply{Progress: p}
}

// tendMembers promotes learners while this node leads, and notices while it knows
// no leader that it has been removed. It ends with ctx.
func (n *Node) tendMembers(ctx context.Context, c *core) {
	tick := time.NewTicker(tendPause)
	defer tick.Stop()
	alone := time.Now() // since then no leader is known
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, leader := c.raft.LeaderWithID(); leader != "" {
			n.setRemoved("")
			alone = time.Now()
		} else if time.Since(alone) >= n.cfg.removalPatience() {
			n.askWhetherRemoved(ctx)
			alone = time.Now()
		}
		if term, leads := n.leading(c); leads {
			n.promoteLearners(ctx, c, term)
		}
	}
}

// promoteLearners makes voters of the learners that have caught up in this term.
func (n *Node) promoteLearners(ctx context.Context, c *core, term uint64) {
	members, _ := n.members(c)
	for _, m := range members {
		if m.Voter || !n.catchesUp(ctx, c, m, term) {
			continue
		}
		if err := n.promote(ctx, m); err != nil {
			n.log.Info("a learner was not promoted", zap.String("member", m.ID), zap.Error(err))
			continue
		}
		n.log.Info("a learner has caught up and votes now", zap.String("member", m.ID), zap.Uint64("term", term))
	}
}

// catchesUp is one round of catching up: it says whether the learner applies, within
// an election timeout, all that the leader's log holds when the round begins. One
// that does leaves the cluster without a majority for no longer than an election
// would, when its vote is needed (Ongaro's thesis, 4.2.1). A round that takes longer
// is followed by another, over what was written meanwhile.
func (n *Node) catchesUp(ctx context.Context, c *core, m healthcheck.Member, term uint64) bool {
	target := c.raft.LastIndex()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ElectionTimeout)
	defer cancel()
	tick := time.NewTicker(progressPause)
	defer tick.Stop()
	for {
		r, err := n.port.ask(ctx, m.Raft, question{Progress: new(struct{})})
		switch p := r.Progress; {
		case err != nil, p == nil, p.Learner, p.Follows != n.cfg.ID, p.Term != term:
			return false
		case p.Applied >= target:
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (n *Node) promote(ctx context.Context, learner healthcheck.Member) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.WriteTimeout)
	defer cancel()
	_, err := n.change(ctx, func(c *core, members []healthcheck.Member) (changing, error) {
		if m, there := memberOf(members, learner.ID); !there || m.Voter {
			return nil, nil
		}
		return func(limit time.Duration) raft.IndexFuture {
			return c.raft.AddVoter(raft.ServerID(learner.ID), raft.ServerAddress(learner.Raft), 0, limit)
		}, nil
	})
	return err
}
