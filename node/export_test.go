package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// HangLog makes the node's log behave like one on a disk that hangs: a write is
// under way, and neither it nor any other ends until release is called. Reads go
// on, as they do while the kernel has them in memory.
func (n *Node) HangLog() (release func()) {
	w := n.core.Load().store.watch
	w.begin("hang")
	return w.end
}

// CrashCounts returns how often the node suspected its leader and how many
// elections it called for that.
func (n *Node) CrashCounts() (suspicions, elections int) {
	return int(n.counters.suspicions.Load()), int(n.counters.crashElections.Load())
}

// Watching says whether the node's watch on its leader is up.
func (n *Node) Watching() bool { return n.crash.watching.Load() }

// Demote makes a voter a learner.
func (n *Node) Demote(id string) error {
	return n.core.Load().raft.DemoteVoter(raft.ServerID(id), 0, 0).Error()
}

// CallElection has the node call an election for the crash of a leader of whom
// nothing was heard, if it follows that leader in that term.
func (n *Node) CallElection(leader string, term uint64) bool {
	return n.callElection(n.core.Load(), suspicion{leader: runOf{id: leader}, term: term, since: time.Now()})
}

// Fail ends the node as something that it cannot go on with does.
func (n *Node) Fail(err error) { n.fail(err) }

// Opinion asks the node as another one does that suspects its leader.
func (n *Node) Opinion(from, leader string, term uint64) (suspects, promised bool, refused string) {
	r := n.opine(from, suspect{Leader: leader, Term: term, Rank: rank{Term: 1 << 60}, Promise: true})
	if r.Opinion == nil {
		return false, false, r.Error
	}
	return r.Opinion.Suspects, r.Opinion.Promised, ""
}

// TimeoutNow gives raft a TimeoutNow, unchecked.
func (n *Node) TimeoutNow() bool { return n.core.Load().trans.timeoutNow(time.Second) }

// HoldTurn keeps raft's state as it is until release is called.
func (n *Node) HoldTurn() (release func()) {
	n.crash.turn.Lock()
	return n.crash.turn.Unlock
}

// HoldApply has this node apply nothing until release is called.
func (n *Node) HoldApply() (release func()) {
	released := make(chan struct{})
	hold := func() { <-released }
	n.core.Load().fsm.before.Store(&hold)
	return sync.OnceFunc(func() { close(released) })
}

// Waits says whether somebody waits here for an index to be applied.
func (n *Node) Waits() bool { return n.core.Load().fsm.wait.count.Load() > 0 }

// Leased returns how many reads were answered under this node's lease, and Rounds
// how many rounds it has run as leader.
func (n *Node) Leased() uint64 { return n.counters.leased.Load() }

// Rounds: see Leased.
func (n *Node) Rounds() uint64 { return n.counters.rounds.Load() }

// TrustVerifyLeader puts raft's VerifyLeader in the place of the rounds. called is
// closed when raft has taken the first.
func (n *Node) TrustVerifyLeader() (called chan struct{}) {
	called = make(chan struct{})
	once := sync.OnceFunc(func() { close(called) })
	n.confirms.replace(func(r *round) {
		c := n.core.Load()
		r.term, r.index = c.raft.CurrentTerm(), c.raft.CommitIndex()
		future := c.raft.VerifyLeader()
		for range 30 { // raft's main loop chooses by chance among what there is to take
			_ = c.raft.BootstrapCluster(raft.Configuration{}).Error() // refused: it has a log
		}
		once()
		r.err = future.Error()
	})
	return called
}

// TrustAppliedIndex has this node, as leader, name its applied index to readers.
func (n *Node) TrustAppliedIndex() {
	n.confirms.replace(func(r *round) {
		n.confirmer.run(r)
		r.index = min(r.index, n.core.Load().fsm.index.Load())
	})
}

// replace puts another way to run rounds in the place of the node's own.
func (r *rounds) replace(run func(*round)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = run
}

// header is what raft puts before its RPCs.
func (n *Node) header() raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.cfg.ID),
		Addr: n.core.Load().trans.EncodePeer(raft.ServerID(n.cfg.ID), ""),
	}
}

// SendHeartbeat sends another node a heartbeat, as its leader in a term does, and
// says whether it was accepted.
func (n *Node) SendHeartbeat(to string, term uint64) (accepted bool, err error) {
	var resp raft.AppendEntriesResponse
	err = n.core.Load().trans.NetworkTransport.AppendEntries(raft.ServerID(to), "",
		&raft.AppendEntriesRequest{RPCHeader: n.header(), Term: term}, &resp)
	return resp.Success && resp.Term == term, err
}

// SendVote asks another node for its vote, for a log that is longer than all others.
func (n *Node) SendVote(to string, term uint64) (granted bool, err error) {
	var resp raft.RequestVoteResponse
	err = n.core.Load().trans.NetworkTransport.RequestVote(raft.ServerID(to), "",
		&raft.RequestVoteRequest{RPCHeader: n.header(), Term: term, LastLogIndex: 1 << 60, LastLogTerm: term - 1}, &resp)
	return resp.Granted, err
}

// SendTimeoutNow sends another node a TimeoutNow, as a leader does that hands over.
func (n *Node) SendTimeoutNow(to string) error {
	return n.core.Load().trans.NetworkTransport.TimeoutNow(raft.ServerID(to), "",
		&raft.TimeoutNowRequest{RPCHeader: n.header()}, new(raft.TimeoutNowResponse))
}

// Busy says whether raft's main loop takes nothing. What it is given to take is of a
// term that is long over, and changes nothing.
func (n *Node) Busy() bool {
	rpc := raft.RPC{Command: &raft.AppendEntriesRequest{RPCHeader: n.header()}, RespChan: make(chan raft.RPCResponse, 1)}
	select {
	case n.core.Load().trans.rpcs <- rpc:
		return false
	case <-time.After(500 * time.Millisecond):
		return true
	}
}

// Electorate returns what tells how many other voters a round asks, and how many
// votes it takes. Each call begins with what the one before has found.
func (n *Node) Electorate() func() (others, majority int) {
	var last electorate
	return func() (int, int) {
		e := n.voting(n.core.Load(), &last)
		return len(e.peers), e.majority
	}
}

// Logged returns how far the node's log goes, and Heard how far a peer's does by its
// answers to this node.
func (n *Node) Logged() uint64 { return n.core.Load().raft.LastIndex() }

// Heard: see Logged.
func (n *Node) Heard(peer string) uint64 { return n.contact.heard(raft.ServerID(peer)) }

func (c *contact) heard(peer raft.ServerID) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked[peer].index
}
