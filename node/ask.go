package node

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// asker has the leader name the index that reads here may be answered at, wherever
// it is: on this node or, over the cluster's port, another one.
type asker struct {
	n     *Node
	lines *lines

	mu     sync.Mutex
	number uint64 // of the question under way, or the last
	got    chan brief
}

func newAsker(n *Node) *asker {
	a := &asker{n: n, got: make(chan brief, 1)}
	a.lines = newLines(n, streamIndex, a.heard)
	return a
}

// The pause before the leader is looked for again.
const (
	askPause     = time.Millisecond
	askPauseMost = 20 * time.Millisecond
)

// run is a round of this node's, wherever the leader is; see rounds. It goes on
// when the leader changes meanwhile, for as long as a read may take.
func (a *asker) run(r *round) {
	for pause := askPause; ; pause = min(2*pause, askPauseMost) {
		if a.attempt(r); r.err == nil {
			return
		}
		if time.Since(r.created) > a.n.cfg.ReadTimeout {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-a.n.ctx.Done():
			timer.Stop()
			r.err = ErrClosed
			return
		}
	}
}

func (a *asker) attempt(r *round) {
	c := a.n.core.Load()
	if c == nil {
		r.err = ErrStarting
		return
	}
	if c.raft.State() == raft.Leader {
		confirmed := a.n.confirms.join()
		select {
		case <-confirmed.known:
			if r.index, r.term, r.err = confirmed.index, confirmed.term, confirmed.err; errors.Is(r.err, errNotConfirmed) {
				r.err = noLeaderSince(r.err)
			}
		case <-a.n.ctx.Done():
			r.err = ErrClosed
		}
		return
	}
	r.err = noLeaderSince(errNotConfirmed)
	if leader, ok := a.n.leaderAt(c); ok {
		a.ask(c, leader, r)
	}
}

// leaderAt is the leader as raft has it, if that is another node.
func (n *Node) leaderAt(c *core) (peerAt, bool) {
	addr, id := c.raft.LeaderWithID()
	if id == "" || string(id) == n.cfg.ID {
		return peerAt{}, false
	}
	if m, ok := n.cfg.member(string(id)); ok && m.Raft != "" {
		return peerAt{string(id), m.Raft}, true
	}
	return peerAt{string(id), string(addr)}, true
}

// ask puts the question to the leader, and gives up when it is the leader no more.
func (a *asker) ask(c *core, leader peerAt, r *round) {
	a.mu.Lock()
	a.number++
	number := a.number
	select {
	case <-a.got: // the answer to a question that was given up
	default:
	}
	a.mu.Unlock()
	a.lines.keep(leader)
	a.lines.ask(leader, number)
	tick := time.NewTimer(confirmTick)
	defer tick.Stop()
	for {
		select {
		case b := <-a.got:
			if b.ok {
				r.index, r.term, r.err = b.index, b.term, nil
				if c.fsm.index.Load() < b.index {
					c.trans.hint(hint{raft.ServerID(leader.id), b.term, b.index})
				}
			}
			return
		case <-a.n.ctx.Done():
			return
		case <-tick.C:
		}
		if now, ok := a.n.leaderAt(c); !ok || now != leader || time.Since(r.created) > a.n.cfg.ReadTimeout {
			return
		}
		a.lines.ask(leader, number)
		tick.Reset(confirmTick)
	}
}

// heard takes the leader's answer.
func (a *asker) heard(_ string, b brief) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.number == a.number && len(a.got) == 0 {
		a.got <- b
	}
}

// prepareReads makes what reads need; endReads ends it.
func (n *Node) prepareReads() {
	n.fresh.start = clock()
	n.confirmer, n.asker = newConfirmer(n), newAsker(n)
	n.confirms = &rounds{n: n, run: n.confirmer.run}
	n.asks = &rounds{n: n, run: n.asker.run}
}

func (n *Node) endReads() {
	n.confirmer.lines.close()
	n.asker.lines.close()
}
