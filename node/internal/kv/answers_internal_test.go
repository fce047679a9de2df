package kv

import (
	"math/rand/v2"
	"testing"
)

// is says whether answers are what a map says, and their ring holds nothing else.
func (a *answers) is(t *testing.T, want map[uint64]Result) {
	t.Helper()
	if n := len(a.ring); n&(n-1) != 0 || n > Window || a.count != len(want) {
		t.Fatalf("%d answers in a ring of %d, want %d", a.count, n, len(want))
	}
	for i := range uint64(Window + 8) {
		got, ok := a.get(a.acked + 1 + i)
		r, kept := want[a.acked+1+i]
		if r.Replayed = kept; ok != kept || ok && got != r {
			t.Fatalf("number %d after %d: %+v (%v), want %+v (%v)", i+1, a.acked, got, ok, r, kept)
		}
	}
	full, last := 0, a.acked
	for _, r := range a.ring {
		if r != (Result{}) {
			full++
		}
	}
	a.each(func(number uint64, r *Result) {
		if number <= last || r.Index != want[number].Index {
			t.Fatalf("visited %d after %d: %+v, want %+v", number, last, *r, want[number])
		}
		last = number
		full--
	})
	if full != 0 {
		t.Fatalf("%d places hold what is no answer", full)
	}
}

// The ring is a map from numbers to answers, wherever the numbers begin or end, and
// no copy of it moves.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		a, want := answers{acked: []uint64{0, 1000, 1 << 40, ^uint64(0) - 3*Window}[seed%4]}, map[uint64]Result{}
		for i := range uint64(600) {
			room := min(1+rnd.Uint64N(1+rnd.Uint64N(Window)), ^uint64(0)-a.acked)
			if _, ok := want[a.acked+room]; room > 0 && !ok {
				r := Result{Rev: rnd.Uint64(), Index: i} // an index may be 0
				a.put(a.acked+room, r)
				want[a.acked+room] = r
			}
			switch before := len(want); rnd.IntN(30) {
			case 0, 1, 2:
				to := max(a.acked, 20) - 20 + rnd.Uint64N(1+rnd.Uint64N(200))
				if rnd.IntN(10) == 0 {
					to = a.acked + min(2*Window, ^uint64(0)-a.acked)
				}
				was := a.acked
				for n := range want {
					if n <= to {
						delete(want, n)
					}
				}
				if n := a.acknowledge(to); n != before-len(want) || a.acked != max(was, to) {
					t.Fatalf("acknowledged %d after %d: %d forgotten, now %d", to, was, n, a.acked)
				}
			case 3:
				old := a
				a = a.clone()
				a.is(t, want)
				if a.count > 0 {
					a.acknowledge(^uint64(0))
				}
				old.is(t, want)
				a = old
			}
			if i%20 == 0 {
				a.is(t, want)
			}
		}
	}
}

// A copy is no longer than its answers need, however long the ring was.
func TestCloneIsSmall(t *testing.T) {
	t.Parallel()
	var a answers
	for n := range uint64(Window) {
		a.put(n+1, Result{})
	}
	for acked, want := range map[uint64]int{0: Window, 1: Window, Window / 2: Window / 2, Window - 3: 4, Window - 1: 1, Window: 0} {
		c := a.clone()
		c.acknowledge(acked)
		if c = c.clone(); len(c.ring) != want || c.count != int(Window-acked) {
			t.Errorf("%d are acknowledged: %d answers in a ring of %d, want %d", acked, c.count, len(c.ring), want)
		}
	}
}
