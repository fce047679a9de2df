package kv

// clock is the cluster clock: how long the cluster has been led, in nanoseconds.
// It moves only when an entry is applied, by what the entry's leader measured on
// its monotonic clock within its term; no wall clock comes into it, and the time
// without a leader does not count. It is part of the state.
type clock struct {
	now  uint64
	term uint64 // of the last entry that told the time
	base uint64 // now, when that term began
}

// maxElapsed bounds what one term may tell: 10 years. More is an error of the
// leader's, and must not let everything expire.
const maxElapsed = 10 * 365 * 24 * 3600 * 1e9

// tick moves the clock to what an entry tells that was logged in a term. One that
// was made in another term, or on its way while a later one was applied, moves
// nothing.
func (c *clock) tick(term uint64, e *Entry) {
	if e.Term != term || e.Elapsed > maxElapsed {
		return
	}
	if term != c.term {
		c.base, c.term = c.now, term
	}
	if now := c.base + e.Elapsed; now > c.now && now >= c.base {
		c.now = now
	}
}
