package node

import (
	"time"

	"github.com/hashicorp/raft"
)

// forward hands RPCs on to raft one by one. An append counts as arrived when raft
// takes it, not when it is here: a raft that is stuck on its disk takes none.
func (t *transport) forward() {
	var told hint     // the newest
	var last appended // the end of the last append that raft took
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if !t.wanted(rpc) || t.answered(rpc) {
				continue
			}
			a, appends := rpc.Command.(*raft.AppendEntriesRequest)
			if !appends {
				t.deliver(rpc)
				continue
			}
			told.raise(a)
			t.shorten(a)
			commit := boundCommit(a)
			if t.deliver(rpc) {
				t.contact.noteAppend(a.Term, commit, clock())
				last = appended{a.Term, a.PrevLogEntry + uint64(len(a.Entries))}
			}
		case told = <-t.hints:
			if rpc, ok := t.asAppend(told, last); ok {
				t.deliver(rpc)
			}
		case <-t.closed:
			return
		}
	}
}

// boundCommit keeps an append from committing entries that it says nothing of, and
// returns the commit index that it came with. raft v1.7.3 commits up to the end of
// its own log where the leader's commit index is beyond that, instead of the last
// entry that the append has verified (Raft, figure 2: AppendEntries, step 5). A leader
// that tries again after a pause names its commit index of after the pause, and
// entries up to the end of its log before it: perhaps none. A node that came back
// with an entry at the end of its log that nobody else has would execute that.
func boundCommit(a *raft.AppendEntriesRequest) (commit uint64) {
	commit = a.LeaderCommitIndex
	a.LeaderCommitIndex = min(commit, a.PrevLogEntry+uint64(len(a.Entries)))
	return commit
}

// SetHeartbeatHandler implements raft.Transport. handle is raft's way past its
// main loop, which may be busy with the disk. A heartbeat that makes raft write
// its term takes the main loop all the same: where the disk hangs through two
// elections, raft could otherwise write the later term first and then go back to
// the earlier one, in which it may have promised its vote to somebody else.
//
// So does every heartbeat of a patient node. A lease rests on it that whoever
// accepts a heartbeat votes for nobody else for a while (see lease.go), and beside
// its main loop raft accepts one while that gives its vote, or just after it has
// found that the leader has been silent for too long.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !t.patient && t.changesNothing(rpc.Command.(*raft.AppendEntriesRequest).Term) {
			handle(rpc)
			return
		}
		t.deliver(rpc)
	})
}

// refusePause is how soon a stuck disk is noticed by an RPC that waits for raft.
const refusePause = 20 * time.Millisecond

// deliver waits until raft takes an RPC and returns whether it did. While the disk
// is stuck raft may take none, and callers that give up and come again would leave
// their requests here, each with a connection: they are told at once instead.
// A disk that has failed has nothing delivered any more.
func (t *transport) deliver(rpc raft.RPC) bool {
	if err := t.disk.failure(); err != nil {
		rpc.Respond(nil, err)
		return false
	}
	select {
	case t.rpcs <- rpc:
		return true
	default:
	}
	tick := time.NewTicker(refusePause)
	defer tick.Stop()
	for {
		// A snapshot would have to be read from the connection first.
		if err := t.disk.check(); err != nil && rpc.Reader == nil {
			rpc.Respond(nil, err)
			return false
		}
		select {
		case t.rpcs <- rpc:
			return true
		case <-t.closed:
			return false
		case <-tick.C:
		}
	}
}

// changesNothing says whether raft takes a heartbeat of this term without
// writing anything.
func (t *transport) changesNothing(term uint64) bool {
	r := t.raft.Load()
	if r == nil {
		return false
	}
	now := r.CurrentTerm()
	return term < now || (term == now && r.State() == raft.Follower)
}

// timeoutNow gives raft a TimeoutNow, which makes it call an election at once,
// without pre-vote, whatever its role. It returns whether raft took it in time.
func (t *transport) timeoutNow(patience time.Duration) bool {
	rpc := raft.RPC{
		Command:  &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}},
		RespChan: make(chan raft.RPCResponse, 1), // it says only that it was taken
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.rpcs <- rpc:
		return true
	case <-timer.C:
	case <-t.closed:
	}
	return false
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpcs }
