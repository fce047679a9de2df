package kv_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// numbering is what a session must remember, written as simply as can be.
type numbering struct {
	acked  uint64
	answer map[uint64]kv.Result
}

// want is the status that a number gets, and the answer where it has one.
func (n *numbering) want(number, acked uint64) (kv.Status, kv.Result, bool) {
	n.acked = max(n.acked, acked)
	for old := range n.answer {
		if old <= n.acked {
			delete(n.answer, old)
		}
	}
	r, ok := n.answer[number]
	switch {
	case number <= n.acked:
		return kv.StatusSequenceAnswered, r, false
	case number-n.acked > kv.Window:
		return kv.StatusBeyondWindow, r, false
	}
	return kv.StatusOK, r, ok
}

// Each number is executed once, gets its answer again until that is acknowledged, and
// none is taken outside of the window; views, restores and other sessions between
// them change nothing.
func TestNumbersAgainstAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		m, sessions := new(kv.Machine), make([]numbering, 3)
		for i := range sessions {
			sessions[i].answer = map[uint64]kv.Result{}
			apply(m, kv.Command{Op: kv.OpOpen, ID: kv.Identity{Session: kv.SessionID{byte(i)}}})
		}
		for step := range 3000 {
			i := rnd.IntN(len(sessions))
			n := &sessions[i]
			acked := n.acked - min(n.acked, rnd.Uint64N(30)) // a late copy says less
			if rnd.IntN(100) == 0 {
				acked = n.acked + rnd.Uint64N(1+rnd.Uint64N(kv.Window))
			}
			number := max(1, n.acked+rnd.Uint64N(1+rnd.Uint64N(60)))
			if rnd.IntN(8) == 0 {
				number = max(n.acked, acked) + []uint64{1, kv.Window / 2, kv.Window - 1, kv.Window, kv.Window + 1}[rnd.IntN(5)]
			}
			rev := apply(m, put("k", "v"))[0].Rev
			status, first, replayed := n.want(number, acked)
			got := apply(m, in(put("k", "v"), byte(i), number, acked))[0]
			want := kv.Result{Index: m.Index(), Status: status}
			switch {
			case replayed:
				want, want.Replayed = first, true
			case status == kv.StatusOK:
				want.Rev, want.Writes, want.Found = rev+1, got.Writes, true
				n.answer[number] = got
			}
			if want.Replayed = replayed; got != want {
				t.Fatalf("seed %d, step %d: number %d, %d acknowledged: %+v, want %+v", seed, step, number, n.acked, got, want)
			}
			switch rnd.IntN(60) {
			case 0:
				m.View()
			case 1:
				m = restored(t, m)
			}
		}
		answers := 0
		for _, n := range sessions {
			answers += len(n.answer)
		}
		if got := m.Usage().Answers; got != answers {
			t.Errorf("seed %d: it counts %d answers, want %d", seed, got, answers)
		}
	}
}

// Views are read while the machine goes on, and stay as they are: of sessions that
// are used, renewed, closed and opened again.
func TestViewsOfSessionsDoNotMove(t *testing.T) {
	t.Parallel()
	var readers sync.WaitGroup
	defer readers.Wait()
	m := new(kv.Machine)
	const sessions = 5
	command := func(op kv.Op, id int, acked uint64) {
		apply(m, kv.Command{Op: op, ID: kv.Identity{Session: kv.SessionID{byte(id)}, Acked: acked}})
	}
	for round := range uint64(40) {
		for i := range sessions {
			command(kv.OpOpen, i, 0)
			for n := range uint64(20) {
				apply(m, in(put("k", "v"), byte(i), 10*round+n+1, 10*round))
			}
		}
		v, before := m.View(), m.View().Hash()
		readers.Go(func() {
			for range 5 {
				if v.Hash() != before {
					t.Errorf("round %d: a view changed while the machine went on", round)
				}
			}
		})
		command(kv.OpRenew, 0, 10*round+5)
		command(kv.OpClose, 1+int(round%4), 0)
	}
}

// filled is a machine with sessions whose windows are full.
func filled(sessions int) *kv.Machine {
	m := new(kv.Machine)
	limits := kv.DefaultLimits()
	limits.MaxSessions = uint64(sessions)
	apply(m, kv.Command{Op: kv.OpMark, Limits: limits})
	for i := range sessions {
		c := put("k", "v")
		c.ID.Session = kv.SessionID{byte(i >> 8), byte(i)}
		apply(m, kv.Command{Op: kv.OpOpen, ID: c.ID})
		for c.ID.Sequence < kv.Window {
			c.ID.Sequence++
			apply(m, c)
		}
	}
	return m
}

// A session that is over and not swept yet may be opened again, and has nothing of what
// it had.
func TestOpenBeforeTheSweep(t *testing.T) {
	s := newStory(t)
	s.fill()
	s.pass(timeout)
	const last = maxSessions - 1
	if got := s.open(last); got != kv.StatusOK {
		t.Errorf("status %d", got)
	}
	if u := s.m.Usage(); u.Sessions != last || u.Answers != (last-1)*kv.Window {
		t.Errorf("%+v: one session is swept, one is left, and one is new", u)
	}
	s.want(in(put("a", "new"), last, 1, 0), kv.StatusOK, false)
	s.holds("a", "new")
}

// A write with a number costs no allocation more than one without.
func TestNumberAllocatesNothing(t *testing.T) {
	m := new(kv.Machine)
	apply(m, kv.Command{Op: kv.OpOpen, ID: kv.Identity{Session: kv.SessionID{1}}})
	e := kv.Entry{Term: 1, Commands: []kv.Command{put("key", "value")}}
	dst := make([]kv.Result, 0, 1)
	c := &e.Commands[0]
	one := func() { dst = m.Apply(m.Index()+1, 1, &e, dst[:0]) }
	plain := testing.AllocsPerRun(1000, one)
	next := func() {
		c.ID = kv.Identity{Session: kv.SessionID{1}, Sequence: c.ID.Sequence + 1}
		c.ID.Acked = c.ID.Sequence - min(64, c.ID.Sequence)
		one()
	}
	for range 100 {
		next() // the ring comes to its length
	}
	if n := testing.AllocsPerRun(1000, next); n > plain || dst[0].Status != kv.StatusOK {
		t.Errorf("%v allocations, without a number %v: %+v", n, plain, dst[0])
	}
}

// A view copies no answers, and the first use of a session after it those of that
// session alone. (Nothing runs beside this test.)
func TestViewCopiesNoAnswers(t *testing.T) {
	const sessions, one = 200, kv.Window * 32
	m := filled(sessions)
	taken := allocated(func() { m.View() })
	used := allocated(func() { apply(m, in(put("k", "v"), 0, 1, 0)) })
	again := allocated(func() { apply(m, in(put("k", "v"), 0, 2, 0)) })
	if taken > 4<<10 || used > one+16<<10 || again > 4<<10 {
		t.Errorf("a view takes %d bytes, the first use of a session after it %d, the second %d", taken, used, again)
	}
	if u := m.Usage(); u.Answers != sessions*kv.Window {
		t.Errorf("%+v", u)
	}
}

// allocated is how many bytes something allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What sessions take: those of a full window, of one answer, and those that were busy
// once and are idle now. (Nothing runs beside this test.)
func TestMemoryOfSessions(t *testing.T) {
	const few, many = 64, 4096
	check := func(what string, most, per float64, before float64, m *kv.Machine) {
		t.Helper()
		if each := (live() - before) / per; each > most {
			t.Errorf("%s: %.0f B, want at most %.0f", what, each, most)
		}
		runtime.KeepAlive(m)
	}
	before := live()
	m := filled(few)
	check("an answer of a full window", 36, few*kv.Window, before, m)
	for i := range few {
		id := kv.Identity{Session: kv.SessionID{byte(i >> 8), byte(i)}, Acked: kv.Window}
		apply(m, kv.Command{Op: kv.OpRenew, ID: id})
	}
	check("a session that is idle now", 256, few, before, m)

	before = live()
	m = new(kv.Machine)
	limits := kv.DefaultLimits()
	limits.MaxSessions = many
	apply(m, kv.Command{Op: kv.OpMark, Limits: limits})
	for i := range many {
		c := put("k", fmt.Sprint(i))
		c.ID.Session = kv.SessionID{byte(i >> 8), byte(i)}
		apply(m, kv.Command{Op: kv.OpOpen, ID: c.ID})
		for n := range uint64(10) { // each says that the one before has come
			c.ID.Sequence, c.ID.Acked = n+1, n
			apply(m, c)
		}
	}
	check("a session with one answer", 256, many, before, m)
}
