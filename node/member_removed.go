package node

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// A member that is removed while it runs gets the entry that says so, mostly: raft
// tries to send it once. One that was down gets nothing. Both are harmless: their
// log names them no more and they call no election, or the others, which know them
// no more, refuse their pre-votes and votes before they look at the term. But a
// person must be told, and so a node without a leader asks the others. Its own log
// cannot tell: a node that has just joined reads it from before it was added.

// removalPatience is how long a node knows no leader before it asks, and until it
// asks again.
func (c Config) removalPatience() time.Duration { return max(time.Second, 2*c.ElectionTimeout) }

// roll is what a node says of the members.
type roll struct {
	Leads bool     `json:"leads"` // and is primary
	Term  uint64   `json:"term"`
	IDs   []string `json:"ids"`
}

// sayRoll answers the question for it.
func (n *Node) sayRoll() reply {
	r := n.Report()
	out := &roll{Leads: r.Primary, Term: r.Term}
	for _, m := range r.Members {
		out.IDs = append(out.IDs, m.ID)
	}
	return reply{Roll: out}
}

// askWhetherRemoved asks all nodes of the initial cluster whether this one is a
// member. Only what a leader says counts.
func (n *Node) askWhetherRemoved(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.RPCTimeout)
	defer cancel()
	n.askAll(ctx, n.cfg.others(), question{Roll: new(struct{})}, func(p peerAt, r reply, err error) {
		if err != nil || r.Roll == nil || !r.Roll.Leads || n.core.Load().raft.CurrentTerm() > r.Roll.Term {
			return
		}
		for _, id := range r.Roll.IDs {
			if id == n.cfg.ID {
				return // it will get in touch
			}
		}
		n.setRemoved(fmt.Sprintf("it was removed from the cluster, says leader %s in term %d: stop it. To have it come back, "+
			"empty its data directory %s and start it with --join", p.id, r.Roll.Term, n.dir.path))
	})
}

// setRemoved notes why this node counts as removed; "" takes it back: a leader has
// it as a member.
func (n *Node) setRemoved(why string) {
	if old := n.removed.Load(); (old == nil) == (why == "") {
		return
	}
	if why == "" {
		n.removed.Store(nil)
		return
	}
	n.removed.Store(&why)
	n.log.Error("this node is no member any more", zap.String("reason", why))
	n.kickRole()
}
