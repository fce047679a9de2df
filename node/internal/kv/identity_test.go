package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// story applies commands one after the other, with small limits and a clock that
// the test moves.
type story struct {
	t       *testing.T
	m       *kv.Machine
	term    uint64
	elapsed uint64
}

// The limits of a story. Its time has no unit.
const (
	timeout     = 60
	window      = 100
	maxSessions = 3
	maxKeys     = 4
)

func small() kv.Limits {
	return kv.Limits{MaxSessions: maxSessions, SessionTimeout: timeout, MaxKeys: maxKeys, MaxKeyBytes: 1 << 20, KeyWindow: window}
}

func newStory(t *testing.T, limits ...func(*kv.Limits)) *story {
	t.Parallel()
	s := &story{t: t, m: new(kv.Machine), term: 1}
	s.mark(limits...)
	return s
}

func (s *story) mark(change ...func(*kv.Limits)) {
	l := small()
	for _, f := range change {
		f(&l)
	}
	s.do(kv.Command{Op: kv.OpMark, Limits: l})
}

// do applies one entry of one command.
func (s *story) do(c kv.Command) kv.Result {
	s.t.Helper()
	data := encode(&kv.Entry{Term: s.term, Elapsed: s.elapsed, Commands: []kv.Command{c}})
	return follow(s.t, s.m, []logged{{s.term, data}})[0]
}

// pass lets time pass; the cluster clock shows it with the next entry.
func (s *story) pass(d uint64) { s.elapsed += d }

func (s *story) open(id byte) kv.Status { return s.session(kv.OpOpen, id, 0) }

func (s *story) session(op kv.Op, id byte, acked uint64) kv.Status {
	s.t.Helper()
	return s.do(kv.Command{Op: op, ID: kv.Identity{Session: kv.SessionID{id}, Acked: acked}}).Status
}

// want runs a write and checks its status and whether it is a repeat's answer.
func (s *story) want(c kv.Command, status kv.Status, replayed bool) kv.Result {
	s.t.Helper()
	r := s.do(c)
	if r.Status != status || r.Replayed != replayed {
		s.t.Errorf("%s=%s by session %v number %d, key %q: %+v, want status %d, replayed %v",
			c.Key, c.Value, c.ID.Session[0], c.ID.Sequence, c.ID.Key, r, status, replayed)
	}
	return r
}

func (s *story) holds(key, value string) {
	s.t.Helper()
	if it, _ := s.m.Get([]byte(key)); string(it.Value) != value {
		s.t.Errorf("%s is %q, want %q", key, it.Value, value)
	}
}

// in gives a write a number in a session.
func in(c kv.Command, id byte, number, acked uint64) kv.Command {
	c.ID.Session, c.ID.Sequence, c.ID.Acked = kv.SessionID{id}, number, acked
	return c
}

// under gives a write an idempotency key; its fingerprint is made of the value.
func under(c kv.Command, key string) kv.Command {
	c.ID.Key = []byte(key)
	copy(c.ID.Fingerprint[:], c.Value)
	return c
}

func ifAbsent() kv.Condition { return kv.Condition{Kind: kv.CondAbsent} }

// A repeat is not executed: it gets the stored answer, all of it.
func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	s := newStory(t)
	s.open(1)
	for name, w := range map[string]kv.Command{
		"session": in(put("s", "old"), 1, 1, 0), "key": under(put("k", "old"), "id"),
		"delete":           in(del("none"), 1, 2, 0),
		"failed condition": in(put("s", "x", kv.Condition{Kind: kv.CondMatch, Revs: []uint64{99}}), 1, 3, 0),
	} {
		first := s.do(w)
		for range 3 {
			s.do(put("s", "new"))
			s.do(put("k", "new"))
			s.do(put("none", "new"))
			again := s.do(w)
			if !again.Replayed {
				t.Errorf("%s: executed again: %+v", name, again)
			}
			if again.Replayed = false; again != first {
				t.Errorf("%s: got %+v, at first %+v", name, again, first)
			}
			s.holds("s", "new")
			s.holds("k", "new")
			s.holds("none", "new")
		}
	}
}

// What is not executed takes no revision: ETags count writes.
func TestRepeatsTakeNoRevision(t *testing.T) {
	s := newStory(t)
	s.open(1)
	w := under(in(put("a", "1"), 1, 1, 0), "id")
	first := s.do(w)
	s.do(w)
	s.do(under(put("a", "other"), "id"))
	s.do(in(put("a", "2"), 9, 1, 0))
	s.mark()
	if next := s.do(put("a", "3")); next.Rev != first.Rev+1 {
		t.Errorf("revision %d after %d", next.Rev, first.Rev)
	}
}

// Numbers may come in any order, each is executed once.
func TestNumbersComeInAnyOrder(t *testing.T) {
	s := newStory(t)
	s.open(1)
	order := []uint64{3, 1, 3, 2, 1, 5, 4, 2, 5, kv.Window}
	seen := make(map[uint64]bool)
	for _, n := range order {
		s.want(in(put(fmt.Sprint(n), "v"), 1, n, 0), kv.StatusOK, seen[n])
		seen[n] = true
	}
	for n := range seen {
		if it, _ := s.m.Get(fmt.Append(nil, n)); it.Writes != 1 {
			t.Errorf("number %d was executed %d times", n, it.Writes)
		}
	}
}

// Acknowledged answers are forgotten, and their numbers refused for ever.
func TestAcknowledgedIsForgottenAndRefused(t *testing.T) {
	s := newStory(t)
	s.open(1)
	for n := range uint64(10) {
		s.want(in(put("a", "v"), 1, n+1, 0), kv.StatusOK, false)
	}
	s.want(in(put("a", "v"), 1, 11, 7), kv.StatusOK, false)
	if u := s.m.Usage(); u.Answers != 4 {
		t.Errorf("%d answers are kept, want those to 8, 9, 10 and 11", u.Answers)
	}
	s.want(in(put("a", "late"), 1, 7, 0), kv.StatusSequenceAnswered, false)
	s.want(in(put("a", "v"), 1, 8, 0), kv.StatusOK, true)
	if got := s.session(kv.OpRenew, 1, 9); got != kv.StatusOK {
		t.Errorf("renewal: %d", got)
	}
	s.want(in(put("a", "late"), 1, 9, 3), kv.StatusSequenceAnswered, false) // a late copy says less
	s.want(in(put("a", "v"), 1, 10, 3), kv.StatusOK, true)
	s.want(in(put("a", "own"), 1, 12, 12), kv.StatusSequenceAnswered, false)
	s.holds("a", "v")
	if s.session(kv.OpRenew, 1, ^uint64(0)); s.m.Usage().Answers != 0 {
		t.Errorf("all is acknowledged: %+v", s.m.Usage())
	}
}

func TestNumberBeyondTheWindow(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.want(in(put("a", "v"), 1, kv.Window+1, 0), kv.StatusBeyondWindow, false)
	s.want(in(put("a", "v"), 1, ^uint64(0), 0), kv.StatusBeyondWindow, false)
	s.holds("a", "")
	s.want(in(put("a", "v"), 1, kv.Window, 0), kv.StatusOK, false)
	s.want(in(put("a", "w"), 1, kv.Window+1, 1), kv.StatusOK, false) // it was not recorded before
	// A session has room for its whole window, whatever others do.
	for n := uint64(2); n < kv.Window; n++ {
		s.want(in(put("b", "v"), 1, n, 1), kv.StatusOK, false)
	}
	if got := s.m.Usage().Answers; got != kv.Window {
		t.Errorf("%d answers", got)
	}
}

func TestSessionThatWasNeverOpened(t *testing.T) {
	s := newStory(t)
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusSessionUnknown, false)
	if got := s.session(kv.OpRenew, 1, 0); got != kv.StatusSessionUnknown {
		t.Errorf("renewal: %d", got)
	}
	if got := s.session(kv.OpClose, 1, 0); got != kv.StatusOK {
		t.Errorf("close: %d", got)
	}
	s.holds("a", "")
}

// A session that is over stays so: what still comes in it is never executed.
func TestExpiredSessionExecutesNothing(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusOK, false)
	s.pass(timeout - 1)
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusOK, true)
	s.pass(timeout)
	s.want(in(put("a", "late"), 1, 1, 0), kv.StatusSessionUnknown, false)
	s.want(in(put("a", "late"), 1, 2, 0), kv.StatusSessionUnknown, false)
	s.mark(func(l *kv.Limits) { l.SessionTimeout = 1e9 }) // not even by a longer timeout
	s.want(in(put("a", "late"), 1, 1, 0), kv.StatusSessionUnknown, false)
	s.holds("a", "v")
	if u := s.m.Usage(); u.Sessions != 0 || u.Answers != 0 {
		t.Errorf("what is over is kept: %+v", u)
	}
}

// fill opens all sessions and uses up their windows: more than one entry sweeps.
func (s *story) fill() {
	for i := range byte(maxSessions) {
		s.open(i)
		for n := range uint64(kv.Window) {
			s.do(in(put("b", "v"), i, n+1, 0))
		}
	}
}

// The mark of a leader that is more patient comes when a session has just ended.
func TestLongerTimeoutBringsNoSessionBack(t *testing.T) {
	s := newStory(t)
	s.fill()
	s.pass(timeout)
	s.mark(func(l *kv.Limits) { l.SessionTimeout = 1e9 })
	for i := range maxSessions {
		s.want(in(put("a", "late"), byte(i), 1, 0), kv.StatusSessionUnknown, false)
	}
	s.holds("a", "")
}

// Sessions that are over are swept a little with each entry, on a node that was
// restored as on others; what is left of them is over all the same.
func TestSweepOfSessionsIsBounded(t *testing.T) {
	s := newStory(t)
	s.fill()
	s.pass(timeout)
	late := in(put("a", "late"), maxSessions-1, 1, 0)
	for left := maxSessions - 1; left >= 0; left-- {
		other := story{t: t, m: restored(t, s.m), term: s.term, elapsed: s.elapsed}
		s.want(late, kv.StatusSessionUnknown, false)
		other.want(late, kv.StatusSessionUnknown, false)
		if u := s.m.Usage(); u.Sessions != left || u.Answers != left*kv.Window {
			t.Errorf("%+v are left, want %d sessions", u, left)
		}
		if s.m.View().Hash() != other.m.View().Hash() {
			t.Errorf("a restored machine sweeps otherwise")
		}
	}
	if got := s.open(99); got != kv.StatusOK {
		t.Errorf("opening another: status %d", got)
	}
}

func TestClosedSessionExecutesNothing(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusOK, false)
	s.session(kv.OpClose, 1, 0)
	s.want(in(put("a", "late"), 1, 1, 0), kv.StatusSessionUnknown, false)
	s.want(in(put("a", "late"), 1, 2, 0), kv.StatusSessionUnknown, false)
	s.holds("a", "v")
	if u := s.m.Usage(); u != (kv.Usage{}) {
		t.Errorf("it is kept: %+v", u)
	}
}

// Every use keeps a session alive: a write, a repeat, a renewal.
func TestUseKeepsASessionAlive(t *testing.T) {
	s := newStory(t)
	s.open(1)
	for n := range uint64(5) {
		s.pass(timeout - 1)
		s.want(in(put("a", "v"), 1, n+1, 0), kv.StatusOK, false)
		s.pass(timeout - 1)
		s.want(in(put("a", "v"), 1, n+1, 0), kv.StatusOK, true)
		s.pass(timeout - 1)
		if got := s.session(kv.OpRenew, 1, 0); got != kv.StatusOK {
			t.Fatalf("renewal: %d", got)
		}
	}
}

// Opening what is open changes nothing: its answers stay.
func TestOpenTwice(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusOK, false)
	if got := s.open(1); got != kv.StatusOK {
		t.Errorf("status %d", got)
	}
	s.want(in(put("a", "v"), 1, 1, 0), kv.StatusOK, true)
}

// A full table refuses new sessions; it drops none whose answers are owed.
func TestFullOfSessions(t *testing.T) {
	s := newStory(t)
	for id := range byte(maxSessions) {
		s.open(id)
		s.want(in(put("a", "v"), id, 1, 0), kv.StatusOK, false)
	}
	for range 3 {
		if got := s.open(99); got != kv.StatusFull {
			t.Errorf("one too many: status %d", got)
		}
	}
	for id := range byte(maxSessions) {
		s.want(in(put("a", "v"), id, 1, 0), kv.StatusOK, true)
		s.want(in(put("a", "w"), id, 2, 0), kv.StatusOK, false) // and has room for more
	}
	s.pass(timeout)
	if got := s.open(99); got != kv.StatusOK {
		t.Errorf("those before are over: status %d", got)
	}
}

// A key is kept for its window, from the write on; repeats do not prolong it.
func TestKeyWindow(t *testing.T) {
	s := newStory(t)
	w := under(put("a", "v"), "id")
	first := s.want(w, kv.StatusOK, false)
	s.pass(window - 1)
	s.want(w, kv.StatusOK, true)
	s.pass(1)
	if r := s.want(w, kv.StatusOK, false); r.Rev == first.Rev {
		t.Errorf("a new write has the revision of the old one: %+v", r)
	}
	s.pass(window - 1)
	s.want(w, kv.StatusOK, true) // the window of the second
}

func TestKeyOfAnotherRequest(t *testing.T) {
	s := newStory(t)
	s.want(under(put("a", "v"), "id"), kv.StatusOK, false)
	s.want(under(put("a", "other"), "id"), kv.StatusKeyReused, false)
	s.holds("a", "v")
	s.want(under(put("a", "v"), "id"), kv.StatusOK, true)
	s.pass(window)
	s.want(under(put("a", "other"), "id"), kv.StatusOK, false)
}

func TestScopesAreApart(t *testing.T) {
	s := newStory(t)
	mine := under(put("a", "mine"), "id")
	mine.ID.Scope[0] = 1
	s.want(mine, kv.StatusOK, false)
	s.want(under(put("a", "shared"), "id"), kv.StatusOK, false)
	s.want(mine, kv.StatusOK, true)
	s.holds("a", "shared")
}

// A full table refuses new keys; it drops none that is in its window.
func TestFullOfKeys(t *testing.T) {
	const perKey = 16 + 256 // what a record counts beside the key
	for name, limit := range map[string]func(*kv.Limits){
		"entries": func(*kv.Limits) {},
		"bytes":   func(l *kv.Limits) { l.MaxKeys, l.MaxKeyBytes = 1e6, maxKeys*(perKey+6) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, limit)
			key := func(i int) string { return fmt.Sprintf("key-%02d", i) }
			for i := range maxKeys {
				s.want(under(put("a", fmt.Sprint(i)), key(i)), kv.StatusOK, false)
				s.pass(1)
			}
			for range 3 {
				s.want(under(put("a", "x"), key(99)), kv.StatusFull, false)
				s.want(put("b", "y"), kv.StatusOK, false) // others go on
			}
			for i := range maxKeys {
				s.want(under(put("a", fmt.Sprint(i)), key(i)), kv.StatusOK, true)
			}
			s.holds("a", fmt.Sprint(maxKeys-1))
			s.pass(window - maxKeys) // the first is over
			s.want(under(put("a", "x"), key(99)), kv.StatusOK, false)
			s.want(under(put("a", "x"), key(98)), kv.StatusFull, false)
			s.want(under(put("a", "1"), key(1)), kv.StatusOK, true)
		})
	}
}

// Expired keys make room at once, however many they are and however little one
// entry sweeps.
func TestExpiredKeysAreNotFull(t *testing.T) {
	const many = 5000
	long := strings.Repeat("k", kv.MaxIDKeyBytes)
	s := newStory(t, func(l *kv.Limits) { l.MaxKeys, l.MaxKeyBytes = 1e6, many*(16+256+4) })
	for i := range many {
		s.want(under(put("a", "v"), fmt.Sprintf("%04d", i)), kv.StatusOK, false)
	}
	s.want(under(put("a", "v"), long), kv.StatusFull, false)
	s.pass(window)
	cmds := make([]kv.Command, 4000)
	for i := range cmds {
		cmds[i] = under(put("a", "v"), fmt.Sprintf("%0*d", kv.MaxIDKeyBytes, i))
	}
	e := kv.Entry{Term: s.term, Elapsed: s.elapsed, Commands: cmds}
	room := many * (16 + 256 + 4) / (16 + 256 + kv.MaxIDKeyBytes)
	for i, r := range s.m.Apply(s.m.Index()+1, s.term, &e, nil) {
		want := kv.StatusOK
		if i >= room {
			want = kv.StatusFull
		}
		if r.Status != want {
			t.Fatalf("command %d: %+v, there is room for %d", i, r, room)
		}
	}
}

// One entry sweeps a bounded part of what has expired, and what it leaves counts
// as gone all the same.
func TestSweepIsBounded(t *testing.T) {
	const many = 3000
	s := newStory(t, func(l *kv.Limits) { l.MaxKeys = 1e6 })
	for i := range many {
		s.do(under(put("a", "v"), fmt.Sprint(i)))
	}
	s.pass(window)
	s.want(under(put("a", "v"), fmt.Sprint(many-1)), kv.StatusOK, false)
	if got := s.m.Usage().Keys; got != many-1024 {
		t.Errorf("one entry left %d keys of %d", got, many)
	}
	for range 3 {
		s.do(put("a", "v"))
	}
	if got := s.m.Usage().Keys; got != 1 {
		t.Errorf("%d keys are left", got)
	}
}

// A write with both identities is kept under both, and either hit answers it.
func TestEitherIdentityAnswers(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.open(2)
	both := under(in(put("a", "v"), 1, 1, 0), "id")
	first := s.want(both, kv.StatusOK, false)
	same := func(what string, c kv.Command) {
		t.Helper()
		r := s.want(c, kv.StatusOK, true)
		if r.Replayed = false; r != first {
			t.Errorf("%s: %+v, at first %+v", what, r, first)
		}
	}
	same("the session", in(put("a", "v"), 1, 1, 0))
	same("the key", under(put("a", "v"), "id"))
	same("the key in another session", under(in(put("a", "v"), 2, 1, 0), "id"))
	s.session(kv.OpClose, 1, 0)
	same("the key, when the session is gone", both)
}

// An answer that the key gave is the session's answer from then on, also when the
// key's window has passed.
func TestKeyHitIsKeptUnderTheSession(t *testing.T) {
	s := newStory(t, func(l *kv.Limits) { l.SessionTimeout = 1e9 })
	s.open(1)
	first := s.want(under(put("a", "v"), "id"), kv.StatusOK, false)
	both := under(in(put("a", "v"), 1, 1, 0), "id")
	s.want(both, kv.StatusOK, true)
	s.pass(window)
	if r := s.want(both, kv.StatusOK, true); r.Index != first.Index {
		t.Errorf("%+v, at first %+v", r, first)
	}
	s.want(under(put("a", "v"), "id"), kv.StatusOK, false)
}

// A refusal that the table decided is the number's answer, whatever there is room
// for later.
func TestRefusalIsTheNumbersAnswer(t *testing.T) {
	s := newStory(t, func(l *kv.Limits) { l.SessionTimeout, l.MaxKeys = 1e9, 1 })
	s.open(1)
	s.want(under(put("a", "v"), "id"), kv.StatusOK, false)
	full, reused := under(in(put("a", "x"), 1, 1, 0), "other"), under(in(put("a", "y"), 1, 2, 0), "id")
	s.want(full, kv.StatusFull, false)
	s.want(reused, kv.StatusKeyReused, false)
	s.pass(window)
	s.want(full, kv.StatusFull, true)
	s.want(reused, kv.StatusKeyReused, true)
	s.holds("a", "v")
}

// A key answers also where the session does not take the number; what it does not
// know is refused and not executed.
func TestKeyAnswersForARefusedNumber(t *testing.T) {
	s := newStory(t)
	s.open(1)
	s.session(kv.OpRenew, 1, 5)
	s.want(under(put("a", "v"), "id"), kv.StatusOK, false)
	for status, number := range map[kv.Status]kv.Command{
		kv.StatusSessionUnknown: in(kv.Command{}, 9, 1, 0), kv.StatusSequenceAnswered: in(kv.Command{}, 1, 5, 0),
		kv.StatusBeyondWindow: in(kv.Command{}, 1, kv.Window+6, 0),
	} {
		as := func(c kv.Command) kv.Command {
			return in(c, number.ID.Session[0], number.ID.Sequence, 0)
		}
		s.want(as(under(put("a", "v"), "id")), kv.StatusOK, true)
		s.want(as(under(put("a", "late"), "new")), status, false)
		s.want(as(under(put("a", "late"), "id")), status, false)
	}
	s.holds("a", "v")
	s.want(under(put("b", "late"), "new"), kv.StatusOK, false) // it was not recorded
}
