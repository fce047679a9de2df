package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestRankOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b rank
		want bool
	}{
		{rank{"b", 2, 5}, rank{"a", 1, 9}, true},
		{rank{"a", 1, 9}, rank{"b", 2, 5}, false},
		{rank{"b", 2, 6}, rank{"a", 2, 5}, true},
		{rank{"a", 2, 5}, rank{"b", 2, 5}, true},
		{rank{"b", 2, 5}, rank{"a", 2, 5}, false},
		{rank{"a", 2, 5}, rank{"a", 2, 5}, false},
	} {
		if got := c.a.before(c.b); got != c.want {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}

func TestMayStart(t *testing.T) {
	t.Parallel()
	self := rank{"b", 3, 10}
	says := func(id string, term, index uint64, suspects bool) ballot {
		return ballot{voter: id, opinion: opinion{Rank: rank{id, term, index}, Suspects: suspects}}
	}
	lost := ballot{voter: "x", opinion: opinion{Suspects: true}, err: fmt.Errorf("no answer")}
	for _, c := range []struct {
		name       string
		voters     int
		ballots    []ballot
		ok, better bool
	}{
		{"alone of three", 3, nil, false, false},
		{"the other does not answer", 3, []ballot{lost}, false, false},
		{"the other sees the leader", 3, []ballot{says("c", 3, 10, false)}, false, false},
		{"the other agrees, logs are equal", 3, []ballot{says("c", 3, 10, true)}, true, false},
		{"the other agrees and has the smaller id", 3, []ballot{says("a", 3, 10, true)}, false, true},
		{"the other has the longer log", 3, []ballot{says("c", 3, 11, true)}, false, true},
		{"the other has the later term", 3, []ballot{says("c", 4, 1, true)}, false, true},
		{"the other has the shorter log", 3, []ballot{says("a", 3, 9, true)}, true, false},
		{"one of four", 5, []ballot{says("c", 3, 10, true), says("d", 3, 9, false), lost}, false, false},
		{"two of four", 5, []ballot{says("c", 3, 10, true), says("d", 3, 9, true), lost}, true, false},
		{"a longer log that sees the leader", 5, []ballot{says("c", 3, 10, true), says("d", 3, 9, true), says("e", 3, 12, false)}, true, false},
		{"a longer log that suspects", 5, []ballot{says("c", 3, 10, true), says("d", 3, 9, true), says("e", 3, 12, true)}, false, true},
		{"two voters, and learners who are not asked", 2, nil, false, false},
	} {
		ok, better, why := mayStart(self, c.voters, c.ballots)
		if ok != c.ok || better != c.better || (why == "") != ok {
			t.Errorf("%s: %v %v %q, want %v %v", c.name, ok, better, why, c.ok, c.better)
		}
	}
}

// Where all survivors suspect and hear each other, one of them may start, and
// nobody has a longer log than it.
func TestExactlyOneMayStart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		voters := 3 + 2*rnd.IntN(4)
		ranks := make([]rank, voters-1)
		for i := range ranks {
			ranks[i] = rank{fmt.Sprint("n", i), 1 + rnd.Uint64N(2), 1 + rnd.Uint64N(3)}
		}
		var started []rank
		for i, self := range ranks {
			var ballots []ballot
			for j, other := range ranks {
				if j != i {
					ballots = append(ballots, ballot{voter: other.ID, opinion: opinion{Rank: other, Suspects: true}})
				}
			}
			if ok, _, _ := mayStart(self, voters, ballots); ok {
				started = append(started, self)
			}
		}
		if len(started) != 1 {
			t.Fatalf("seed %d: of %v these may start: %v", seed, ranks, started)
		}
		for _, r := range ranks {
			if r.Term > started[0].Term || (r.Term == started[0].Term && r.Index > started[0].Index) {
				t.Fatalf("seed %d: of %v it is %v", seed, ranks, started[0])
			}
		}
	}
}

// Whatever is heard by whom and in whichever order, no two have a majority's
// promises at once: each gives itself its word before it asks, and gives it to
// nobody else before it has given up what it was promised.
func TestPromisesNeverSplit(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	for seed := range uint64(5000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		voters := 3 + 2*rnd.IntN(4)
		nodes := make([]*crash, voters-1)
		got := make([]map[int]bool, len(nodes)) // who has promised, itself included; empty before it starts
		for i := range nodes {
			nodes[i], got[i] = newCrash(), make(map[int]bool)
		}
		for range 100 {
			from, to := rnd.IntN(len(nodes)), rnd.IntN(len(nodes))
			switch {
			case from == to && len(got[to]) > 0 && rnd.IntN(4) == 0:
				nodes[to].release(fmt.Sprint(to))
				clear(got[to])
			case (from == to || got[to][to]) && nodes[from].promise(fmt.Sprint(to), 5, until):
				got[to][from] = true
			}
			var winners []int
			for i := range got {
				if len(got[i]) >= quorum(voters) {
					winners = append(winners, i)
				}
			}
			if len(winners) > 1 {
				t.Fatalf("seed %d: of %d voters, %v all have a majority's promises", seed, voters, winners)
			}
		}
	}
}

func TestPromise(t *testing.T) {
	t.Parallel()
	now := time.Now()
	given := promise{to: "a", term: 5, until: now.Add(time.Second)}
	for _, c := range []struct {
		name string
		p    promise
		to   string
		term uint64
		at   time.Time
		want bool
	}{
		{"never given", promise{}, "b", 5, now, true},
		{"again to the same", given, "a", 5, now, true},
		{"to another", given, "b", 5, now, false},
		{"to itself", given, "me", 5, now, false},
		{"in another term", given, "b", 6, now, true},
		{"when it has run out", given, "b", 5, now.Add(time.Second), true},
	} {
		if got := c.p.free(c.to, c.term, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
