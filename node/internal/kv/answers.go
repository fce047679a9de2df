package kv

import "math/bits"

// answers are those to the numbers of one session, as they are given again: with
// Replayed set, which no empty place has. They are in a ring, so that a number
// costs neither a search nor memory of its own.
type answers struct {
	acked uint64 // of all numbers up to this one the answers have come; they are forgotten
	count int
	// ring holds the answer to a number n at n modulo its length, a power of two. It
	// reaches from acked as far as any answer did that was kept, and is not longer
	// than Window.
	ring []Result
}

// at is the place of a number that the ring reaches.
func (a *answers) at(number uint64) *Result { return &a.ring[number&uint64(len(a.ring)-1)] }

// get returns the answer to a number after acked.
func (a *answers) get(number uint64) (Result, bool) {
	if number-a.acked > uint64(len(a.ring)) {
		return Result{}, false
	}
	r := a.at(number)
	return *r, r.Replayed
}

// put keeps the answer to a number that is in the window and has none.
func (a *answers) put(number uint64, r Result) {
	if reach := number - a.acked; reach > uint64(len(a.ring)) {
		a.resize(reach)
	}
	r.Replayed = true
	*a.at(number) = r
	a.count++
}

// acknowledge forgets the answers up to a number, and says how many there were. A
// late copy of a write may say less than what is known.
func (a *answers) acknowledge(to uint64) int {
	if to <= a.acked {
		return 0
	}
	before := a.count
	for n := a.acked + 1; a.count > 0 && n <= to; n++ {
		if r := a.at(n); r.Replayed {
			*r = Result{}
			a.count--
		}
	}
	a.acked = to
	return before - a.count
}

// each visits the answers in the order of their numbers.
func (a *answers) each(visit func(number uint64, r *Result)) {
	for n, left := a.acked+1, a.count; left > 0; n++ {
		if r := a.at(n); r.Replayed {
			visit(n, r)
			left--
		}
	}
}

// resize makes the ring reach so far from acked, and no further than it must.
func (a *answers) resize(reach uint64) {
	old := *a
	if a.ring = nil; reach == 0 {
		return
	}
	a.ring = make([]Result, 1<<bits.Len64(reach-1))
	old.each(func(number uint64, r *Result) { *a.at(number) = *r })
}

// clone returns a copy that is as small as it can be: a ring that was long once need
// not stay so.
func (a answers) clone() answers {
	reach := uint64(0)
	a.each(func(number uint64, _ *Result) { reach = number - a.acked })
	a.resize(reach)
	return a
}
