package node

import (
	"cmp"
	"fmt"
	"time"
)

// rank orders the voters that could call an election: the longest log first, as
// Raft's votes do (Raft, section 5.4.1), and the smallest id where logs are equal.
type rank struct {
	ID    string `json:"id"`
	Term  uint64 `json:"term"`  // of the last log entry
	Index uint64 `json:"index"` // of the last log entry
}

// before says whether r should call the election rather than o.
func (r rank) before(o rank) bool {
	return cmp.Or(cmp.Compare(r.Term, o.Term), cmp.Compare(r.Index, o.Index), cmp.Compare(o.ID, r.ID)) > 0
}

// opinion is a voter's answer to a suspicion.
type opinion struct {
	Rank     rank `json:"rank"`
	Suspects bool `json:"suspects"` // the same leader in the same term
	Promised bool `json:"promised"` // not to call an election itself
}

// ballot is what one voter has answered, or why it has not.
type ballot struct {
	voter string
	opinion
	err error
}

// quorum is a majority of the voters. The leader that is taken for dead is one.
func quorum(voters int) int { return voters/2 + 1 }

// suspecting counts who suspects the leader too, the asking node included.
func suspecting(ballots []ballot) int {
	return 1 + count(ballots, func(b ballot) bool { return b.Suspects })
}

// promised counts who has promised, the asking node included.
func promised(ballots []ballot) int {
	return 1 + count(ballots, func(b ballot) bool { return b.Promised })
}

func count(ballots []ballot, is func(ballot) bool) (n int) {
	for _, b := range ballots {
		if b.err == nil && is(b) {
			n++
		}
	}
	return n
}

// mayStart decides whether the node that asked may ask for promises. Where it may
// not, it says why, and whether a better one is expected to.
func mayStart(self rank, voters int, ballots []ballot) (ok, better bool, why string) {
	if n := suspecting(ballots); n < quorum(voters) {
		return false, false, fmt.Sprintf("%d of %d voters suspect it", n, voters)
	}
	for _, b := range ballots {
		if b.err == nil && b.Suspects && b.Rank.before(self) {
			return false, true, fmt.Sprintf("%s suspects it too and goes first", b.voter)
		}
	}
	return true, false, ""
}

// promise is a voter's word that in this term it calls no election itself and
// supports nobody else's. It keeps votes from splitting and no more: who leads is
// decided by raft's votes, which are on disk.
type promise struct {
	to    string
	term  uint64
	until time.Time
}

// free says whether the voter may give its word to a node.
func (p promise) free(to string, term uint64, now time.Time) bool {
	return p.to == to || p.term != term || !now.Before(p.until)
}
