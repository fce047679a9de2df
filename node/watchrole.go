package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// reportTick is how often the role is looked at without being told to: leases
// and followers' patience run out without an event.
const reportTick = 20 * time.Millisecond

// watchRole keeps the board up to date and marks each new term of this leader in
// the log, until ctx ends.
func (n *Node) watchRole(ctx context.Context, c *core) {
	tick := time.NewTicker(reportTick)
	defer tick.Stop()
	var marking atomic.Bool  // a mark is on its way; where it fails the next look sends another
	var marked atomic.Uint64 // the last term that has its mark: other entries of the term do not set its limits
	silent := false
	for {
		term := c.raft.CurrentTerm()
		if c.raft.State() == raft.Leader && marked.Load() != term && marking.CompareAndSwap(false, true) {
			n.group.Go(func() {
				if err := c.proposer.mark(n.cfg.identityLimits(), n.cfg.WriteTimeout); err != nil {
					n.log.Debug("the mark of the new term failed", zap.Error(err))
				} else {
					marked.Store(term)
				}
				marking.Store(false)
				n.kickRole()
			})
		}
		n.Report()
		silent = n.watchDisk(c, silent)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.kick:
		}
	}
}

// kickRole asks for a look at the role now.
func (n *Node) kickRole() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}
