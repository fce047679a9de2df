package node

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// What became of a write that failed. Every error of Put and Delete is exactly
// one of the two.
var (
	// ErrNotApplied: the write has not happened and will not. It may be sent
	// again, here or to another node.
	ErrNotApplied = errors.New("the write was not applied")
	// ErrUnknown: the write may have happened, or may happen yet.
	ErrUnknown = errors.New("the outcome of the write is unknown")
)

// Why a request was refused.
var (
	ErrNotLeader  = errors.New("this node is not the leader")
	ErrNoLeader   = errors.New("no leader is known")
	ErrOverloaded = errors.New("too many writes are waiting")
	ErrClosed     = errors.New("the node is shutting down")
	ErrStarting   = errors.New("the node is starting")
	ErrBehind     = errors.New("the node has not applied the wanted index in time")
	ErrBadInput   = errors.New("bad input")
	ErrTooLarge   = errors.New("too large")
)

// What the state machine says of a write's identity.
var (
	ErrSessionUnknown       = errors.New("the session is over, or never was")
	ErrSequenceAnswered     = errors.New("the number's answer was acknowledged before")
	ErrSequenceBeyondWindow = errors.New("the number is too far ahead of what was acknowledged")
	ErrIdentitiesFull       = errors.New("there is no room to keep another identity")
	ErrKeyReused            = errors.New("the idempotency key belongs to another request")
)

// ErrLostMemory says that a node whose folder is empty belongs to a cluster that
// has a history: it must not vote (design section 8; Ongaro's thesis, 4.1 and
// 10.2.2, on what a server must not forget).
var ErrLostMemory = errors.New("this node has lost its memory")

func notApplied(why error) error { return fmt.Errorf("%w: %w", ErrNotApplied, why) }

func unknown(why error) error { return fmt.Errorf("%w: %w", ErrUnknown, why) }

// applyError sorts what raft says of an entry. Only what raft refuses before the
// entry can reach a log is "not applied"; everything else may have happened.
func applyError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return notApplied(ErrNotLeader)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return notApplied(ErrOverloaded)
	}
	return unknown(err)
}
