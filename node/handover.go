package node

import (
	"errors"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// transferPause is how soon another try follows where raft has not put the last
// one away yet.
const transferPause = 5 * time.Millisecond

// electionsWaited is how many election timeouts a node stays for whoever was told to
// take over: on a busy machine that takes longer than one, and where the third node
// is away it needs the vote of this one.
const electionsWaited = 4

// handOver gives a leader's leadership to another node before it stops, and waits
// until that one leads and has committed something. What raft has been given is decided first: a transfer
// would leave its outcome unknown. All of it takes closeTimeout at most.
func (n *Node) handOver(c *core) {
	members, voters := n.members(c)
	if c.raft.State() != raft.Leader {
		return
	}
	start := time.Now()
	log := n.log.With(zap.Uint64("term", c.raft.CurrentTerm()))
	if err := c.store.watch.check(); err != nil {
		log.Warn("leadership is not handed over: the others must elect", zap.Error(err))
		return
	}
	c.proposer.settle(n.cfg.HeartbeatTimeout)
	if len(voters) == 1 { // there is nobody else
		return
	}
	tried := make(map[raft.ServerID]bool)
	for time.Since(start) < closeTimeout {
		heir, ok := n.heir(c, voters, tried)
		if !ok {
			log.Warn("leadership is not handed over: no other voter has acknowledged the log of late", zap.Int("tried", len(tried)))
			return
		}
		err := transfer(c, heir, addressOf(members, heir), 2*n.cfg.ElectionTimeout)
		switch {
		case err == nil && n.awaitLeader(electionsWaited*n.cfg.ElectionTimeout):
			n.seeIn(c, n.cfg.HeartbeatTimeout)
			log.Info("leadership handed over", zap.String("to", string(heir)), zap.Duration("took", time.Since(start)))
			return
		case err == nil, c.raft.State() != raft.Leader, errors.Is(err, errRaftHangs):
			log.Warn("leadership was to be handed over, and nobody leads yet", zap.String("to", string(heir)), zap.Error(err))
			return
		case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
			time.Sleep(transferPause)
		default:
			log.Warn("a node did not take leadership over", zap.String("to", string(heir)), zap.Error(err))
			tried[heir] = true
		}
	}
	log.Warn("leadership could not be handed over in time")
}

// seeIn stays until the new leader has committed something of its term. It takes
// writes only then, and with this node there are enough for that when the disk of
// another has yet to finish with the vote.
func (n *Node) seeIn(c *core, limit time.Duration) {
	term := c.raft.CurrentTerm()
	end := time.NewTimer(limit)
	defer end.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for c.fsm.term.Load() < term {
		select {
		case <-look.C:
		case <-end.C:
			return
		}
	}
}

// heir is the best node to take over that was not tried, if there are enough
// left to elect it.
func (n *Node) heir(c *core, voters []raft.ServerID, tried map[raft.ServerID]bool) (raft.ServerID, bool) {
	heirs := n.contact.heirs(voters, raft.ServerID(n.cfg.ID), c.raft.CurrentTerm(), clock().Add(-n.cfg.HeartbeatTimeout))
	if len(heirs)+1 <= len(voters)/2 {
		return "", false
	}
	for _, h := range heirs {
		if !tried[h] {
			return h, true
		}
	}
	return "", false
}

func addressOf(members []healthcheck.Member, id raft.ServerID) raft.ServerAddress {
	for _, m := range members {
		if m.ID == string(id) {
			return raft.ServerAddress(m.Raft)
		}
	}
	return ""
}

// errRaftHangs: raft decides about a transfer within an election timeout.
var errRaftHangs = errors.New("raft does not answer: its disk hangs")

// transfer returns nil once this node does not lead any more.
func transfer(c *core, heir raft.ServerID, addr raft.ServerAddress, limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- c.raft.LeadershipTransferToServer(heir, addr).Error() }() // not waited for: raft may drop it when it ends
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errRaftHangs
	}
}

// awaitLeader waits until another node leads, as far as this one knows.
func (n *Node) awaitLeader(limit time.Duration) bool {
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		r := n.Report()
		if r.Leader.ID != "" && r.Leader.ID != n.cfg.ID {
			return true
		}
		select {
		case <-n.Changed(r.Epoch):
		case <-end.C:
			return false
		}
	}
}
