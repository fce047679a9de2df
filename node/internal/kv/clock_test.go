package kv_test

import (
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// over says whether a session that is not used has ended. It asks by a repeat on
// a copy of the state, since asking is using.
func (s *story) over(id byte) bool {
	s.t.Helper()
	probe := story{t: s.t, m: restored(s.t, s.m), term: s.term}
	return probe.session(kv.OpRenew, id, 0) == kv.StatusSessionUnknown
}

// Time passes in Apply and nowhere else, and by what the leader measured.
func TestTimePassesInApply(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.pass(timeout)
	for range 1000 {
		s.m.Advance(s.m.Index()+1, s.term) // entries that are not ours
	}
	if s.over(1) {
		t.Error("time passed without an entry that says so")
	}
	s.do(put("a", "v"))
	if !s.over(1) {
		t.Error("an entry of the leader did not let time pass")
	}
}

// A new leader starts from what the cluster clock shows: its own measure of its
// term, whatever other clocks say, is added.
func TestNewLeaderGoesOnWithTheClock(t *testing.T) {
	s := newStory(t)
	s.open(1)
	for range 3 { // a third of the timeout in each term
		s.term, s.elapsed = s.term+1, 0
		s.do(put("a", "v"))
		if s.over(1) {
			t.Fatal("a change of leader let time pass")
		}
		s.pass(timeout / 3)
		s.do(put("a", "v"))
	}
	if !s.over(1) {
		t.Error("the time of former terms is forgotten")
	}
}

// An entry that was made in one term and logged in another moves no time: what it
// measured has nothing to do with the term that it is in.
func TestEntryOfAnotherTermMovesNoTime(t *testing.T) {
	s := newStory(t)
	s.open(1)
	for _, made := range []uint64{s.term - 1, s.term + 1} {
		data := encode(&kv.Entry{Term: made, Elapsed: 10 * timeout, Commands: []kv.Command{put("a", "v")}})
		follow(t, s.m, []logged{{s.term, data}})
	}
	if s.over(1) {
		t.Error("it moved time")
	}
	s.holds("a", "v") // it is executed all the same
	s.pass(timeout)
	s.do(put("a", "v"))
	if !s.over(1) {
		t.Error("it stopped time")
	}
}

// Entries may overtake each other on their way into the log; time does not go
// back, and no measure can make it leap past its end.
func TestTimeNeverGoesBack(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.pass(timeout - 1)
	s.do(put("a", "v"))
	s.elapsed = 0
	s.do(put("a", "v"))
	s.open(2)
	s.elapsed = timeout
	s.do(put("a", "v"))
	if !s.over(1) || s.over(2) {
		t.Errorf("session 1 over: %v, session 2 over: %v", s.over(1), s.over(2))
	}
	for _, absurd := range []uint64{^uint64(0), 1 << 62} {
		s.elapsed = absurd
		s.do(put("a", "v"))
		if s.over(2) {
			t.Errorf("an elapsed time of %d is believed", absurd)
		}
	}
}
