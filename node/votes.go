package node

import (
	"errors"
	"io"
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
