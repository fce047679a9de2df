package node

import (
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/hashicorp/raft"
)

// maxPool is how many idle connections to each peer raft's transport keeps.
const maxPool = 3

// RequestVote implements raft.Transport. A candidate that cannot write could not
// lead.
func (t *transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.disk.check(); err != nil {
		return err
	}
	return pastEnded(func() error { return t.NetworkTransport.RequestVote(id, addr, args, resp) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.disk.check(); err != nil {
		return err
	}
	return pastEnded(func() error { return t.NetworkTransport.RequestPreVote(id, addr, args, resp) })
}

// pastEnded asks again where the connection turns out to have ended. Those in
// raft's pool may have ended long ago, with an earlier run of the peer, and a vote
// that is lost for it costs an election timeout. Asking twice is harmless: a peer
// gives its vote to the same candidate again.
func pastEnded(ask func() error) error {
	err := ask()
	for range maxPool {
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			return err
		}
		err = ask()
	}
	return err
}

// wanted refuses a TimeoutNow of another than the leader. One that was stopped
// while it handed over may send it when somebody else leads for long; raft would
// call an election in which voters forget their patience with that one. It refuses
// too what only a stranger sends, an append with an entry that is none: raft looks
// into every entry, and would panic.
func (t *transport) wanted(rpc raft.RPC) bool {
	var err error
	switch q := rpc.Command.(type) {
	case *raft.TimeoutNowRequest:
		if !t.follows(raft.ServerID(q.ID)) {
			err = errNotItsLeader
		}
	case *raft.AppendEntriesRequest:
		if slices.Contains(q.Entries, nil) {
			err = errNoEntry
		}
	}
	if err != nil {
		rpc.Respond(nil, err)
	}
	return err == nil
}

// follows says whether this node follows a leader.
func (t *transport) follows(id raft.ServerID) bool {
	r := t.raft.Load()
	if r == nil {
		return false
	}
	_, leader := r.LeaderWithID()
	return leader == id && r.State() == raft.Follower
}

var (
	errNotItsLeader = errors.New("this node does not follow the one that hands leadership over")
	errNoEntry      = errors.New("an append with an entry that is none: its sender is no node of this cluster")
)
