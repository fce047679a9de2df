package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// check looks at every page of a tree: how long it is, and that its keys are in
// order and where the pages above say.
func (p *page) check(t *testing.T, root bool, from, to string) (depth, count int) {
	t.Helper()
	last := from
	for i, r := range p.recs {
		k := r.key()
		if k < last || (i > 0 && k == last) || (to != "" && k >= to) {
			t.Fatalf("%q is between %q and %q, in a page from %q to %q", k, last, to, from, to)
		}
		last = k
	}
	if len(p.recs) > pageLen || cap(p.recs) > pageLen || cap(p.kids) > pageLen+1 {
		t.Fatalf("a page has %d records in room for %d, and room for %d pages", len(p.recs), cap(p.recs), cap(p.kids))
	}
	if slices.ContainsFunc(p.recs[len(p.recs):cap(p.recs)], func(r rec) bool { return r != "" }) ||
		slices.ContainsFunc(p.kids[len(p.kids):cap(p.kids)], func(kid *page) bool { return kid != nil }) {
		t.Fatal("a page holds on to what it has no more")
	}
	alike := 0 // what all keys between these two begin with
	for to != "" && alike < min(len(from), len(to)) && from[alike] == to[alike] {
		alike++
	}
	if p.skip > alike {
		t.Fatalf("a page from %q to %q skips %d bytes", from, to, p.skip)
	}
	for i, r := range p.recs {
		if want := head(r.key(), p.skip); p.heads[i] != want {
			t.Fatalf("%q has the head %x behind %d bytes, not %x", r.key(), p.heads[i], p.skip, want)
		}
	}
	if p.kids == nil {
		if len(p.recs) == 0 {
			t.Fatal("a leaf is empty")
		}
		return 1, len(p.recs)
	}
	if len(p.kids) != len(p.recs)+1 || len(p.kids) > pageLen || (!root && len(p.kids) < leastLen) || len(p.kids) < 2 {
		t.Fatalf("%d pages below, and %d keys between them", len(p.kids), len(p.recs))
	}
	for i, kid := range p.kids {
		low, high := from, to
		if i > 0 {
			low = p.recs[i-1].key()
		}
		if i < len(p.recs) {
			high = p.recs[i].key()
		}
		d, n := kid.check(t, false, low, high)
		if i > 0 && d != depth {
			t.Fatal("one side is deeper than the other")
		}
		depth, count = d, count+n
	}
	return depth + 1, count
}

// holds says whether a version is what a map says.
func (v version) holds(t *testing.T, want map[string]string) {
	t.Helper()
	if v.root != nil {
		if _, n := v.root.check(t, true, "", ""); n != v.count {
			t.Fatalf("it counts %d keys, and has %d", v.count, n)
		}
	}
	keys := slices.Sorted(maps.Keys(want))
	var got []string
	v.ascend("", func(r rec) bool {
		if value := string(r.item().Value); value != want[r.key()] {
			t.Fatalf("%q is %q, want %q", r.key(), value, want[r.key()])
		}
		got = append(got, r.key())
		return true
	})
	if v.count != len(want) || !slices.Equal(got, keys) {
		t.Fatalf("it has %d keys, and visits %d; want %d", v.count, len(got), len(want))
	}
	for i := 0; i < len(keys); i += 1 + len(keys)/20 {
		if it, ok := v.item([]byte(keys[i])); !ok || string(it.Value) != want[keys[i]] {
			t.Fatalf("%q is %q (%v), want %q", keys[i], it.Value, ok, want[keys[i]])
		}
		behind := keys[i] + "\x00"
		if _, ok := v.item([]byte(behind)); ok != (i+1 < len(keys) && keys[i+1] == behind) {
			t.Fatalf("there is a key behind %q: %v", keys[i], ok)
		}
		rest := 0
		v.ascend(keys[i]+"\x00", func(r rec) bool { rest++; return true })
		if rest != len(keys)-i-1 {
			t.Fatalf("%d keys behind number %d of %d", rest, i, len(keys))
		}
	}
}

// The tree is a map in order, through any sets and deletes, and no view of it moves.
func TestTree(t *testing.T) {
	t.Parallel()
	type seen struct {
		version
		want map[string]string
	}
	number := func(next func(r *rand.Rand, i int) int) func(*rand.Rand, int) string {
		return func(r *rand.Rand, i int) string { return fmt.Sprintf("%07d", next(r, i)) }
	}
	for name, next := range map[string]func(r *rand.Rand, i int) string{
		"random":     number(func(r *rand.Rand, _ int) int { return r.IntN(6000) }),
		"ascending":  number(func(_ *rand.Rand, i int) int { return i }),
		"descending": number(func(_ *rand.Rand, i int) int { return 1e6 - i }),
		"in turns":   number(func(_ *rand.Rand, i int) int { return i%5*1e5 + i }),
		"alike":      func(r *rand.Rand, _ int) string { return alike(r) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			tr, want, views := new(tree), map[string]string{}, []seen(nil)
			for i := range 40_000 {
				growing := i/10_000%2 == 0 // and then shrinking
				if key := next(r, i); growing || r.IntN(4) == 0 {
					value := fmt.Sprint(i)
					tr.set(newRec([]byte(key), []byte(value), uint64(i), 1))
					want[key] = value
				}
				if n := len(want); !growing && n > 0 {
					key := pickFrom(r, tr.version)
					tr.delete([]byte(key))
					delete(want, key)
				}
				if i%1999 == 0 {
					tr.holds(t, want)
					views = append(views, seen{tr.view(), maps.Clone(want)})
				}
			}
			for _, v := range views {
				v.holds(t, v.want)
			}
			for key := range want {
				tr.delete([]byte(key))
			}
			if tr.root != nil || tr.count != 0 {
				t.Errorf("%d keys are left", tr.count)
			}
		})
	}
}

// alike is one of many keys that are the same but for few bytes, far behind, or that
// are the beginnings of others.
func alike(r *rand.Rand) string {
	b := make([]byte, 1+r.IntN(30))
	for i := range b {
		if b[i] = 'k'; i == len(b)-1 || i%9 == 0 {
			b[i] = "\x00k\xff"[r.IntN(3)]
		}
	}
	return string(b)
}

// pickFrom returns some key of a version.
func pickFrom(r *rand.Rand, v version) string {
	p := v.root
	for p.kids != nil {
		p = p.kids[r.IntN(len(p.kids))]
	}
	return p.recs[r.IntN(len(p.recs))].key()
}

// Keys that come in order fill their pages, and those that come in the other order
// do not leave a page each.
func TestPagesAreFull(t *testing.T) {
	t.Parallel()
	const n = 100 * pageLen
	for _, c := range []struct {
		name   string
		number func(i int) int
		atMost int // leaves
	}{
		{"ascending", func(i int) int { return i }, n / pageLen},
		{"descending", func(i int) int { return 2*n - i }, n/(pageLen/2) + 1},
		{"descending behind a full page", func(i int) int {
			if i < pageLen {
				return i
			}
			return 2*n - i
		}, n/(pageLen/2) + 2},
	} {
		tr := new(tree)
		for i := range n {
			tr.set(newRec(fmt.Appendf(nil, "%07d", c.number(i)), nil, 1, 1))
		}
		if leaves := tr.root.leaves(); leaves > c.atMost {
			t.Errorf("%s: %d keys in %d leaves, want at most %d", c.name, n, leaves, c.atMost)
		}
	}
}

func (p *page) leaves() (n int) {
	if p.kids == nil {
		return 1
	}
	for _, kid := range p.kids {
		n += kid.leaves()
	}
	return n
}

// A tree must not hold on to what it has no more: a deleted value may be large.
func TestDividersAreCopies(t *testing.T) {
	t.Parallel()
	tr := new(tree)
	value := make([]byte, 1000)
	for i := range 10_000 {
		tr.set(newRec(fmt.Appendf(nil, "%05d", i*7919%10_000), value, 1, 1))
	}
	for _, r := range tr.root.recs {
		if len(r) > 10 {
			t.Fatalf("a divider of %d bytes", len(r))
		}
	}
}

// Records that are added in order, as a snapshot has them, make the tree that setting
// them makes, and it can be changed as any other.
func TestAdd(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, pageLen - 1, pageLen, pageLen + 1, pageLen*pageLen + 1, 10_000} {
		want := map[string]string{}
		for len(want) < n {
			want[fmt.Sprintf("%s%d", alike(r), len(want)%997)] = "v"
		}
		added, set, leaf := new(tree), new(tree), (*page)(nil)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			leaf = added.add(leaf, newRec([]byte(key), []byte("v"), 1, 1))
			set.set(newRec([]byte(key), []byte("v"), 1, 1))
		}
		added.holds(t, want)
		if n > 0 && added.root.leaves() != set.root.leaves() {
			t.Errorf("%d keys: %d leaves, not %d", n, added.root.leaves(), set.root.leaves())
		}
		v, was := added.view(), maps.Clone(want)
		for i := range n {
			key := fmt.Sprint(alike(r), i%7)
			added.set(newRec([]byte(key), []byte("w"), 2, 1))
			want[key] = "w"
		}
		added.holds(t, want)
		v.holds(t, was)
	}
}
