package node

import "github.com/hashicorp/raft"

// hint is a commit index that a follower has from the leader's own mouth, in answer
// to a question (see asker): raft would wait for the leader's next append to learn
// it, which after a lone write comes a CommitTimeout later.
type hint struct {
	leader raft.ServerID
	term   uint64
	index  uint64
}

// hint hands one on to raft, soon. One goroutine calls it; the newest counts.
func (t *transport) hint(h hint) {
	select {
	case <-t.hints:
	default:
	}
	t.hints <- h
}

// appended is how far a follower's log goes, as far as the transport knows.
type appended struct{ term, index uint64 }

// raise has an append commit what the leader has said to be committed meanwhile, as
// far as the append verifies it.
func (h hint) raise(a *raft.AppendEntriesRequest) {
	if a.Term == h.term {
		a.LeaderCommitIndex = max(a.LeaderCommitIndex, h.index)
	}
}

// asAppend makes a hint an append without entries, such as the leader could have
// sent: a leader answers only once it has committed an entry of its own term, and
// from that on its log has entries of that term alone. So the entry at the index is
// of the hint's term, and raft looks whether the one here is too before it commits
// anything. False where it would be of no use, or raft follows somebody else.
func (t *transport) asAppend(h hint, last appended) (raft.RPC, bool) {
	r := t.raft.Load()
	if r == nil || r.State() != raft.Follower || r.CurrentTerm() != h.term || r.CommitIndex() >= h.index {
		return raft.RPC{}, false
	}
	addr, id := r.LeaderWithID()
	here := r.LastIndex()
	if last.term == h.term {
		here = max(here, last.index) // raft may be writing it just now
	}
	if id != h.leader || here < h.index {
		return raft.RPC{}, false
	}
	return raft.RPC{
		Command: &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr)},
			Term:      h.term, PrevLogEntry: h.index, PrevLogTerm: h.term, LeaderCommitIndex: h.index,
		},
		RespChan: make(chan raft.RPCResponse, 1), // nobody waits for it
	}, true
}
