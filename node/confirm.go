package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// confirmTick is how soon a round sees that it cannot succeed any more, and asks
// again whom a question did not reach.
const confirmTick = 20 * time.Millisecond

// leading returns the term that this node leads and has applied a command of. In
// such a term its commit index covers every write that anybody acknowledged
// before, by whichever leader (Ongaro's thesis, 6.4).
func (n *Node) leading(c *core) (term uint64, ok bool) {
	// raft leaves the state Leader before it takes a later term: with the same term
	// on both sides of the look, it is the term that is led.
	term = c.raft.CurrentTerm()
	ok = c.raft.State() == raft.Leader && c.raft.CurrentTerm() == term
	return term, ok && c.fsm.term.Load() == term
}

// confirmer runs the leader's rounds. A round takes the commit index, and then
// asks every voter for its current term. When a majority, this node included, says
// that it is still this leader's, no later leader can have committed anything
// before the round began: whoever elected it would have taken its term before that,
// and one of them is in this majority. So the index covers all that was
// acknowledged before.
//
// raft's VerifyLeader will not do: it counts any answer that comes in after the
// call, also one to a heartbeat from before it, and those of learners. raft's
// applied index will not do either: a follower may have applied, and served, what
// this leader has committed and not applied yet.
type confirmer struct {
	n          *Node
	lines      *lines
	electorate electorate

	mu     sync.Mutex
	number uint64 // of the round under way, or the last
	term   uint64
	need   map[string]bool // voters that have not said yet that it is their term
	yes    int
	quorum int
	won    chan struct{} // closed at the quorum
}

func newConfirmer(n *Node) *confirmer {
	f := &confirmer{n: n, need: make(map[string]bool)}
	f.lines = newLines(n, streamTerm, f.heard)
	return f
}

// run is a round; see rounds.
func (f *confirmer) run(r *round) {
	c := f.n.core.Load()
	if c == nil {
		r.err = ErrStarting
		return
	}
	term, ok := f.n.leading(c)
	if !ok {
		r.err = errNotConfirmed
		return
	}
	f.n.counters.rounds.Add(1)
	r.term, r.index = term, c.raft.CommitIndex() // before anybody is asked
	e := f.n.voting(c, &f.electorate)
	number, won := f.begin(term, e)
	f.lines.keep(e.peers...)
	for _, p := range e.peers {
		f.lines.ask(p, number)
	}
	tick := time.NewTimer(confirmTick)
	defer tick.Stop()
	for {
		select {
		case <-won:
			return
		case <-f.n.ctx.Done():
			r.err = ErrClosed
			return
		case <-tick.C:
		}
		if now, ok := f.n.leading(c); !ok || now != term || time.Since(r.created) > f.n.cfg.ReadTimeout {
			r.err = errNotConfirmed
			return
		}
		for _, p := range e.peers {
			f.lines.ask(p, number)
		}
		tick.Reset(confirmTick)
	}
}

// electorate is who has a vote.
type electorate struct {
	of       []raft.Server // as raft has it, which gives another slice for another configuration
	peers    []peerAt      // voters, without this node
	majority int
	self     int // votes of this node, 1 or 0
}

// voting returns the electorate, the one of last time where it is still the same:
// every round needs it.
func (n *Node) voting(c *core, last *electorate) electorate {
	of := c.raft.GetConfiguration().Configuration().Servers // raft answers from memory
	if len(of) > 0 && len(of) == len(last.of) && &of[0] == &last.of[0] {
		return *last
	}
	e := electorate{of: of}
	members, voters := n.members(c)
	for _, m := range members {
		switch {
		case !m.Voter:
		case m.ID == n.cfg.ID:
			e.self = 1
		default:
			e.peers = append(e.peers, peerAt{m.ID, m.Raft})
		}
	}
	e.majority = quorum(len(voters))
	*last = e
	return e
}

func (f *confirmer) begin(term uint64, e electorate) (uint64, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number++
	f.term, f.quorum, f.yes = term, e.majority, e.self
	clear(f.need)
	for _, p := range e.peers {
		f.need[p.id] = true
	}
	f.won = make(chan struct{})
	if f.yes >= f.quorum {
		close(f.won)
	}
	return f.number, f.won
}

// heard takes a voter's answer. Only one to this round's question counts: it was
// asked after the reads had come.
func (f *confirmer) heard(peer string, b brief) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !b.ok || b.number != f.number || b.term != f.term || !f.need[peer] {
		return
	}
	delete(f.need, peer)
	if f.yes++; f.yes == f.quorum {
		close(f.won)
	}
}

// sayTerm is this node's side of the round: its current term. raft writes a term
// to disk before it shows it, and gives its vote in that term later still, so that
// one that has voted for another leader never says the earlier term again.
func (n *Node) sayTerm() brief {
	c := n.core.Load()
	if c == nil {
		return brief{}
	}
	return brief{ok: true, term: c.raft.CurrentTerm()}
}

// sayIndex is the leader's answer to a follower that has reads to serve.
func (n *Node) sayIndex() brief {
	r := n.confirms.join()
	select {
	case <-r.known:
	case <-n.ctx.Done():
		return brief{}
	}
	return brief{ok: r.err == nil, term: r.term, index: r.index}
}
