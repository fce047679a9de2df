package node

import (
	"io"

	"github.com/hashicorp/raft"
)

// A leader that gets no answer to an append sends it again, although the node may
// have it. raft v1.7.3 has two faults with that where the node's log begins behind a
// snapshot, as it does after one was installed:
//
//   - An append that begins at the snapshot's end is refused once the log goes on
//     behind it: raft looks for the entry there, in the log only.
//   - The leader then sends its snapshot, and raft goes back to that, state and
//     members, however old it is. And so on, until there is a newer snapshot.
//
// So such an append is made to begin where the log has what the leader has, and a
// snapshot of what has been applied already is answered without being installed.

// answered answers an RPC that brings nothing but what is committed here: raft need
// not see it, and would not know that.
func (t *transport) answered(rpc raft.RPC) bool {
	r := t.raft.Load()
	if r == nil || r.State() != raft.Follower {
		return false
	}
	term, applied := r.CurrentTerm(), r.AppliedIndex()
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
	switch q := rpc.Command.(type) {
	case *raft.InstallSnapshotRequest:
		if q.Term != term || q.LastLogIndex > applied {
			return false
		}
		t.wg.Go(func() {
			_, err := io.Copy(io.Discard, rpc.Reader)
			rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: header, Term: term, Success: true}, err)
		})
		return true
	case *raft.AppendEntriesRequest:
		if q.Term != term || !t.lacks(r, q.PrevLogEntry) || q.PrevLogEntry+uint64(len(q.Entries)) > applied {
			return false
		}
		// What is committed here is in the log of every leader since (Raft, figure 3:
		// Leader Completeness).
		rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: header, Term: term, LastLog: r.LastIndex(), Success: true}, nil)
		return true
	}
	return false
}

// shorten has an append begin behind the last of its entries that is in the log here.
// Where two logs have an entry of the same index and term, they are the same up to it
// (Raft, figure 3: Log Matching).
func (t *transport) shorten(a *raft.AppendEntriesRequest) {
	r := t.raft.Load()
	if r == nil || !t.lacks(r, a.PrevLogEntry) {
		return
	}
	for i := len(a.Entries) - 1; i >= 0; i-- {
		var here raft.Log
		if e := a.Entries[i]; t.log.GetLog(e.Index, &here) == nil && here.Term == e.Term {
			a.PrevLogEntry, a.PrevLogTerm, a.Entries = e.Index, e.Term, a.Entries[i+1:]
			return
		}
	}
}

// lacks says whether an entry is missing here, though there are later ones.
func (t *transport) lacks(r *raft.Raft, index uint64) bool {
	if index == 0 || index >= r.LastIndex() {
		return false
	}
	var l raft.Log
	return t.log.GetLog(index, &l) != nil
}
