package node

import (
	"encoding/binary"
	"errors"
	"runtime"
)

// stableStore is the log store as raft gets it to keep its term and vote in. raft
// panics where it cannot write its term, which would take the whole program
// with it; here the goroutine that tried ends, and nothing else: raft's main
// loop, or a connection that brought a heartbeat. The node is ending already.
//
// raft writes a vote in two steps: its term, then for whom. A node that ended
// between them would take the candidate of an earlier vote for that of the new
// term, and give it the vote again without a look at its log. Here both are one
// record and one write, which saves an election its fsyncs too.
type stableStore struct {
	*logStore
	voteTerm uint64 // of the vote that is being written; raft votes on one goroutine
}

// raft's keys of its term and of a vote, and ours: the term of the vote in eight
// bytes, big-endian, and the candidate as raft names it.
const (
	keyTerm          = "CurrentTerm"
	keyVoteTerm      = "LastVoteTerm"
	keyVoteCandidate = "LastVoteCand"
	keyVote          = "dengine.vote"
)

// Set implements raft.StableStore.
func (s *stableStore) Set(key, val []byte) error {
	if string(key) == keyVoteCandidate {
		key, val = []byte(keyVote), append(binary.BigEndian.AppendUint64(nil, s.voteTerm), val...)
	}
	return orEnd(s.logStore.Set(key, val))
}

// SetUint64 implements raft.StableStore.
func (s *stableStore) SetUint64(key []byte, val uint64) error {
	if string(key) == keyVoteTerm {
		s.voteTerm = val
		return nil
	}
	return orEnd(s.logStore.SetUint64(key, val))
}

// Get implements raft.StableStore.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	if string(key) != keyVoteCandidate {
		return s.logStore.Get(key)
	}
	_, candidate, err := s.vote()
	return candidate, err
}

// GetUint64 implements raft.StableStore.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	if string(key) != keyVoteTerm {
		return s.logStore.GetUint64(key)
	}
	term, _, err := s.vote()
	return term, err
}

// vote is the last vote. Where there is none the error is the store's own, which
// raft knows, or the vote is empty.
func (s *stableStore) vote() (term uint64, candidate []byte, err error) {
	record, err := s.logStore.Get([]byte(keyVote))
	if err != nil || len(record) == 0 {
		return 0, nil, err
	}
	if len(record) < 8 {
		return 0, nil, errors.New("the record of the last vote is damaged")
	}
	return binary.BigEndian.Uint64(record), record[8:], nil
}

func orEnd(err error) error {
	if err != nil {
		runtime.Goexit()
	}
	return nil
}
