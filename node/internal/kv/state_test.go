package kv_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// logged is an entry as raft hands it to a node.
type logged struct {
	term uint64
	data []byte
}

// writer makes random commands over few keys, few sessions and few idempotency
// keys, so that conditions bite and repeats are repeats.
type writer struct {
	rnd  *rand.Rand
	next [6]uint64 // number of each session
	sent []kv.Command
}

func (w *writer) command() kv.Command {
	session := w.rnd.IntN(len(w.next))
	id := kv.Identity{Session: kv.SessionID{byte(session)}}
	switch w.rnd.IntN(40) {
	case 0:
		return kv.Command{Op: kv.OpMark, Limits: kv.Limits{
			MaxSessions: 1 + w.rnd.Uint64N(6), SessionTimeout: 1 + w.rnd.Uint64N(60),
			MaxKeys: 1 + w.rnd.Uint64N(30), MaxKeyBytes: w.rnd.Uint64N(9000), KeyWindow: 1 + w.rnd.Uint64N(40),
		}}
	case 1, 2, 3:
		return kv.Command{Op: kv.OpOpen, ID: id}
	case 4:
		return kv.Command{Op: kv.OpClose, ID: id}
	case 5:
		id.Acked = w.next[session]
		return kv.Command{Op: kv.OpRenew, ID: id}
	case 6, 7, 8, 9, 10, 11, 12, 13:
		if len(w.sent) > 0 {
			return w.sent[w.rnd.IntN(len(w.sent))] // again, perhaps much later
		}
	}
	c := w.write()
	if w.rnd.IntN(2) == 0 {
		w.next[session] += 1 + w.rnd.Uint64N(3)
		id.Sequence = w.next[session]
		id.Acked = id.Sequence - min(id.Sequence, 1+w.rnd.Uint64N(10))
		if w.rnd.IntN(30) == 0 {
			id.Sequence += kv.Window
		}
		c.ID = id
	}
	if w.rnd.IntN(2) == 0 {
		c.ID.Key = fmt.Append(nil, w.rnd.IntN(40))
		c.ID.Scope[0] = byte(w.rnd.IntN(2))
		c.ID.Fingerprint[0] = byte(w.rnd.IntN(10) / 9)
	}
	w.sent = append(w.sent, c)
	return c
}

func (w *writer) write() kv.Command {
	cond := kv.Condition{Kind: kv.CondKind(w.rnd.IntN(5))}
	if cond.Kind == kv.CondMatch || cond.Kind == kv.CondNoMatch {
		cond.Revs = []uint64{w.rnd.Uint64N(900), w.rnd.Uint64N(900)}
	}
	key := fmt.Sprint("k", w.rnd.IntN(20))
	if w.rnd.IntN(4) == 0 {
		return del(key, cond)
	}
	return put(key, fmt.Sprint(w.rnd.Uint64()), cond)
}

// history is a log with changes of the leader, late entries of former ones, and
// time that passes.
func history(seed uint64, entries int) []logged {
	w := writer{rnd: rand.New(rand.NewPCG(seed, 1))}
	var out []logged
	term, elapsed := uint64(1), uint64(0)
	for range entries {
		if elapsed += w.rnd.Uint64N(4); w.rnd.IntN(25) == 0 {
			term, elapsed = term+1+w.rnd.Uint64N(2), 0
		}
		e := kv.Entry{Term: term, Elapsed: elapsed, Commands: make([]kv.Command, 1+w.rnd.IntN(5))}
		if w.rnd.IntN(10) == 0 {
			e.Term, e.Elapsed = term-1, w.rnd.Uint64N(1000)
		}
		for i := range e.Commands {
			e.Commands[i] = w.command()
		}
		out = append(out, logged{term, encode(&e)})
	}
	return out
}

// follow applies logged entries and returns their results.
func follow(t *testing.T, m *kv.Machine, entries []logged) (out []kv.Result) {
	t.Helper()
	for _, l := range entries {
		var e kv.Entry
		if err := kv.DecodeEntry(l.data, &e); err != nil {
			t.Fatal(err)
		}
		out = m.Apply(m.Index()+1, l.term, &e, out)
	}
	return out
}

func restored(t *testing.T, m *kv.Machine) *kv.Machine {
	t.Helper()
	back, err := kv.ReadSnapshot(bytes.NewReader(snapshot(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// Design, section 10, promise 4: the same log gives the same state and the same
// answers, also where a snapshot stands in for its beginning.
func TestSameLogSameState(t *testing.T) {
	t.Parallel()
	const length = 300
	var seen [8]int // answers of each status, and repeats
	for seed := range uint64(40) {
		entries := history(seed, length)
		straight := new(kv.Machine)
		results := follow(t, straight, entries)
		for _, r := range results {
			if seen[r.Status]++; r.Replayed {
				seen[7]++
			}
		}
		for _, cut := range []int{0, 1, 77, 150, length} {
			first := new(kv.Machine)
			got := follow(t, first, entries[:cut])
			second := restored(t, first)
			got = append(got, follow(t, second, entries[cut:])...)
			if second.View().Hash() != straight.View().Hash() || !slices.Equal(got, results) {
				t.Errorf("seed %d: snapshot after %d entries gives another state or other answers", seed, cut)
			}
		}
	}
	for status, n := range seen {
		if n < 20 {
			t.Errorf("status %d (7: repeat) comes only %d times: the histories try too little; all: %v", status, n, seen)
		}
	}
}

// Three machines, of which one is restored again and again and one has views
// taken from it, are equal after each entry.
func TestMachinesStayEqual(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		plain, viewed, fresh := new(kv.Machine), new(kv.Machine), new(kv.Machine)
		for i, l := range history(seed+100, 200) {
			one := []logged{l}
			old := viewed.View()
			before := old.Hash()
			want := follow(t, plain, one)
			fresh = restored(t, fresh)
			if !slices.Equal(follow(t, viewed, one), want) || !slices.Equal(follow(t, fresh, one), want) {
				t.Fatalf("seed %d, entry %d: other answers", seed, i)
			}
			hash := plain.View().Hash()
			if viewed.View().Hash() != hash || fresh.View().Hash() != hash {
				t.Fatalf("seed %d, entry %d: other states", seed, i)
			}
			if old.Hash() != before {
				t.Fatalf("seed %d, entry %d: a view taken before it has changed", seed, i)
			}
			if plain.Usage() != fresh.Usage() {
				t.Fatalf("seed %d, entry %d: %+v, restored %+v", seed, i, plain.Usage(), fresh.Usage())
			}
		}
	}
}
