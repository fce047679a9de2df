package node

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	const me = "mine"
	knows := func(empty bool) whoIsWho { return whoIsWho{Empty: empty, Remembered: me} }
	for _, c := range []struct {
		name    string
		voters  int
		answers map[string]whoIsWho
		want    admission
	}{
		{"alone", 1, nil, admissionFound},
		{"nobody answers", 3, nil, admissionWait},
		{"one of three is empty too", 3, map[string]whoIsWho{"b": knows(true)}, admissionFound},
		{"one of three has a history", 3, map[string]whoIsWho{"b": knows(false)}, admissionWait},
		{"both have a history", 3, map[string]whoIsWho{"b": knows(false), "c": knows(false)}, admissionLate},
		{"one remembers another memory", 3, map[string]whoIsWho{"b": knows(true), "c": {Remembered: "old"}}, admissionLost},
		{"one of five is empty too", 5, map[string]whoIsWho{"b": knows(true), "c": knows(false)}, admissionWait},
		{"three of five have a history", 5, map[string]whoIsWho{"b": knows(false), "c": knows(false), "d": knows(false)}, admissionLate},
	} {
		if got, _ := admit(c.voters, me, c.answers); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// simulated is a cluster of records alone: who has joined, under which
// incarnation, and what each has written down.
type simulated struct {
	n     int
	rnd   *rand.Rand
	up    []bool
	peers []struct {
		joined      bool
		incarnation string
		records     records
	}
}

func simulate(seed uint64) *simulated {
	rnd := rand.New(rand.NewPCG(seed, 7))
	s := &simulated{n: 3 + 2*rnd.IntN(3), rnd: rnd}
	s.up = make([]bool, s.n)
	s.peers = make([]struct {
		joined      bool
		incarnation string
		records     records
	}, s.n)
	for i := range s.peers {
		s.up[i] = true
		s.peers[i].incarnation = fmt.Sprint(i, " first")
		s.peers[i].records = make(records)
	}
	return s
}

// attempt lets node i ask those it reaches, each with a chance of being missed.
func (s *simulated) attempt(i int, missed float64) admission {
	me := &s.peers[i]
	answers := make(map[string]whoIsWho)
	for j := range s.peers {
		if j == i || !s.up[j] || s.rnd.Float64() < missed {
			continue
		}
		p := &s.peers[j]
		known, _ := p.records.note(fmt.Sprint(i), me.incarnation, !p.joined)
		if s.rnd.Float64() < missed {
			continue // written down, and the answer is lost
		}
		answers[fmt.Sprint(j)] = whoIsWho{Empty: known.WhileEmpty, Remembered: known.Incarnation}
		if !p.joined {
			me.records.note(fmt.Sprint(j), p.incarnation, true)
		}
	}
	a, _ := admit(s.n, me.incarnation, answers)
	me.joined = me.joined || a == admissionFound || a == admissionLate
	return a
}

// A node that has taken part and was wiped is never let in again, whatever
// answers are lost, once a majority has a history.
func TestAdmissionNeverForgets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		s := simulate(seed)
		for range 200 {
			s.attempt(s.rnd.IntN(s.n), 0.3)
		}
		joined := 0
		for _, p := range s.peers {
			if p.joined {
				joined++
			}
		}
		victim := s.rnd.IntN(s.n)
		if joined <= s.n/2+1 || !s.peers[victim].joined {
			continue
		}
		s.peers[victim].joined = false
		s.peers[victim].incarnation = "second"
		s.peers[victim].records = make(records)
		for range 100 {
			if a := s.attempt(victim, 0.3); a == admissionFound || a == admissionLate {
				t.Fatalf("seed %d: a wiped node of %d was let in (%d)", seed, s.n, a)
			}
		}
	}
}

// Any majority that is up and can talk starts the cluster, whoever comes first.
func TestAdmissionEnds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		s := simulate(seed)
		for _, i := range s.rnd.Perm(s.n)[:s.rnd.IntN((s.n+1)/2)] {
			s.up[i] = false
		}
		for range 2000 {
			if i := s.rnd.IntN(s.n); s.up[i] && !s.peers[i].joined {
				s.attempt(i, 0.3)
			}
		}
		waiting, up := 0, 0
		for i, p := range s.peers {
			if s.up[i] {
				up++
				if !p.joined {
					waiting++
				}
			}
		}
		if up-waiting <= s.n/2 {
			t.Fatalf("seed %d: %d of %d up nodes still wait, of %d", seed, waiting, up, s.n)
		}
	}
}

func TestQuorumSent(t *testing.T) {
	t.Parallel()
	base := time.Now()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	c := newContact()
	c.noteAck("b", 3, at(10))
	c.noteAck("b", 3, at(5)) // out of order
	c.noteAck("c", 3, at(20))
	c.noteAck("d", 2, at(30)) // of an earlier term
	for _, s := range []struct {
		voters []raft.ServerID
		want   time.Time
	}{
		{[]raft.ServerID{"a"}, at(50)},
		{[]raft.ServerID{"a", "b", "c"}, at(20)},
		{[]raft.ServerID{"a", "b", "d"}, at(10)},
		{[]raft.ServerID{"a", "b", "c", "d", "e"}, at(10)},
		{[]raft.ServerID{"a", "d", "e"}, time.Time{}},
		{[]raft.ServerID{"b", "c", "d"}, at(10)}, // a leader that is no voter
		{nil, time.Time{}},
	} {
		if got := c.quorumSent(s.voters, "a", 3, at(50)); !got.Equal(s.want) {
			t.Errorf("%v: %v, want %v", s.voters, got, s.want)
		}
	}
}

func TestBoundBytes(t *testing.T) {
	t.Parallel()
	entry := func(n int) *raft.Log { return &raft.Log{Data: make([]byte, n)} }
	for _, c := range []struct {
		sizes []int
		want  int
	}{
		{nil, 0}, {[]int{200}, 1}, {[]int{50, 50}, 2}, {[]int{50, 51}, 1}, {[]int{200, 1}, 1}, {[]int{1, 1, 1, 98}, 3},
	} {
		var in []*raft.Log
		for _, n := range c.sizes {
			in = append(in, entry(n))
		}
		if got := len(boundBytes(in, 100)); got != c.want {
			t.Errorf("%v: %d entries, want %d", c.sizes, got, c.want)
		}
	}
}

func openStore(t *testing.T, cache int, fatal func(error)) *logStore {
	t.Helper()
	s, err := openLogStore(filepath.Join(t.TempDir(), "raft.db"), cache, fatal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entries(from, to uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, &raft.Log{Index: i, Term: 1, Data: fmt.Appendf(nil, "entry %d", i)})
	}
	return out
}

// What the cache answers is what the disk has, through appends, compaction and
// the removal of a conflicting end.
func TestLogCacheAgreesWithDisk(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{0, 2000, 1 << 20} {
		s := openStore(t, cache, func(err error) { t.Error(err) })
		steps := []func() error{
			func() error { return s.StoreLogs(entries(1, 700)) },
			func() error { return s.DeleteRange(1, 600) },
			func() error { return s.DeleteRange(680, 700) },
			func() error { return s.StoreLogs(entries(680, 690)) },
			func() error { return s.DeleteRange(601, 690) },
			func() error { return s.StoreLogs(entries(1000, 1010)) },
		}
		bounds := [][2]uint64{{1, 700}, {601, 700}, {601, 679}, {601, 690}, {0, 0}, {1000, 1010}}
		for i, step := range steps {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			first, _ := s.FirstIndex()
			last, _ := s.LastIndex()
			if first != bounds[i][0] || last != bounds[i][1] {
				t.Errorf("cache %d, step %d: log is %d-%d, want %v", cache, i, first, last, bounds[i])
			}
			for index := uint64(1); index <= 1011; index++ {
				var got, disk raft.Log
				err, diskErr := s.GetLog(index, &got), s.BoltStore.GetLog(index, &disk)
				if (err == nil) != (diskErr == nil) || string(got.Data) != string(disk.Data) {
					t.Fatalf("cache %d, step %d, entry %d: %q (%v), disk has %q (%v)", cache, i, index, got.Data, err, disk.Data, diskErr)
				}
			}
			if s.cache.bytes > max(cache, 0) {
				t.Errorf("the cache holds %d bytes, at most %d", s.cache.bytes, cache)
			}
		}
	}
}

func TestFailedWriteEndsTheNode(t *testing.T) {
	t.Parallel()
	var cause error
	s := openStore(t, 0, func(err error) { cause = err })
	if err := s.BoltStore.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(entries(1, 1)); err == nil || cause == nil || !strings.Contains(cause.Error(), "append to the log") {
		t.Errorf("got %v, the node ends with %v", err, cause)
	}
	cause = nil
	if err := s.SetUint64([]byte("CurrentTerm"), 1); err == nil || cause == nil {
		t.Errorf("got %v, the node ends with %v", err, cause)
	}
}

func TestParseTags(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		`"1"`: "[1]", `"1","z"`: "[1 35]", ` "1" , "2" `: "[1 2]", `W/"1"`: "[0]", `"A"`: "[0]", `"01"`: "[0]", `""`: "[0]", `"not ours!"`: "[0]",
		``: "error", `1`: "error", `"1`: "error", `"1" "2"`: "error", `"1",`: "error", `*`: "error",
	} {
		tags, err := parseTags(s)
		got := "error"
		if err == nil {
			raw := make([]uint64, len(tags))
			for i, tag := range tags {
				raw[i] = uint64(tag)
			}
			got = fmt.Sprint(raw)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", s, got, err, want)
		}
	}
}
