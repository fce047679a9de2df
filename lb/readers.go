package lb

import "slices"

// rank is how well a backend suits a read.
type rank uint8

const (
	rankFit    rank = iota // it can answer at once, for all that is known
	rankBehind             // it is neither known to be as far as the read asks, nor near
	rankAside              // it is on the sideline
	rankTried              // the read has been there
)

func (be *backend) rank(index uint64, tried []*backend) rank {
	switch {
	case slices.Contains(tried, be):
		return rankTried
	case !be.sideline.admits():
		return rankAside
	case be.reached.Load() < index && !be.near.Load():
		return rankBehind
	}
	return rankFit
}

// reader is the turn-th of the readers that suit best a read which asks for a log
// index and has tried some, or nil where it has tried all.
func (v *View) reader(turn, index uint64, tried []*backend) *backend {
	var ranks [maxBackends]rank
	var of [rankTried + 1]uint64
	best := rankTried
	for i, r := range v.Readers {
		k := v.Nodes[r].backend.rank(index, tried)
		ranks[i] = k
		of[k]++
		best = min(best, k)
	}
	if best == rankTried {
		return nil
	}
	skip := turn % of[best]
	for i, r := range v.Readers {
		if ranks[i] != best {
			continue
		}
		if skip == 0 {
			return v.Nodes[r].backend
		}
		skip--
	}
	return nil // not reached: skip is less than there are of the best
}

// reads says whether a backend can serve reads.
func (v *View) reads(be *backend) bool {
	return slices.ContainsFunc(v.Readers, func(i int) bool { return v.Nodes[i].backend == be })
}

// deserted says whether a dengine node cannot serve reads while others can.
func (v *View) deserted(be *backend) bool {
	return v.dengine && len(v.Readers) > 0 && !v.reads(be)
}
