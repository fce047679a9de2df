package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A client does what its profile names, and that is known.
func TestProfileChooses(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"": true, ofBank: true, "registers": true, "nonsense": false} {
		p := DefaultProfile()
		if name != "" {
			p.Only = []string{name}
		}
		if err := p.Validate(); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
		if !good {
			continue
		}
		want := max(len(p.Only), 1)
		if name == "" {
			want = len(Workloads())
		}
		if got := newLoad(p, Promise{Level: "lease"}, "k").workloads; len(got) != want || name != "" && got[0].name != name {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// judged is a history and whether it is good.
type judged struct {
	name string
	good bool
	ops  []string
}

// judge checks histories that are read by history and then completed.
func judge(t *testing.T, check func([]Op) *Finding, complete func(*Op), cases []judged) {
	t.Helper()
	for _, tt := range cases {
		h := history(t, tt.ops...)
		for i := range h {
			complete(&h[i])
		}
		f := check(h)
		if (f == nil) != tt.good {
			t.Errorf("%s: %+v, want good %t", tt.name, f, tt.good)
		}
		if f != nil && (f.Key == "" || f.What == "") {
			t.Errorf("%s: %+v says nothing", tt.name, f)
		}
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	judge(t, counters{}.check, func(*Op) {}, []judged{
		{"one after the other", true, []string{"read - 0..1", "cas - 1 2..3", "read 1 4..5", "cas 1 2 6..7", "read 2 8..9"}},
		{"a read meanwhile", true, []string{"cas - 1 0..9", "read - 1..2", "read 1 3..4", "read 1 10..11"}},
		{"and back", false, []string{"cas - 1 0..9", "read 1 3..4", "read - 5..6"}},
		{"lost", false, []string{"cas - 1 0..1", "read - 2..3"}},
		{"lost, and counted again", false, []string{"cas - 1 0..1", "cas - 1 2..3", "read 1 4..5"}},
		{"two have the same", false, []string{"cas - 1 0..9", "cas - 1 0..9"}},
		{"counted from what was over", false, []string{"cas - 1 0..1", "cas 1 2 2..3", "cas! 1 2 4..5", "cas 1 2 6..7"}},
		{"twice for one", false, []string{"cas - 1 0..1", "read 2 2..3"}},
		{"failed, and happened", false, []string{"cas - 1 0..1", "cas! 1 2 2..3", "read 2 4..5"}},
		{"failed, and happened unseen", false, []string{"cas! - 1 0..1", "cas 1 2 2..3"}},
		{"unknown, and happened", true, []string{"cas - 1 0..", "read 1 2..3"}},
		{"unknown, and did not", true, []string{"cas - 1 0..", "read - 2..3", "cas - 1 4..5", "read 1 6..7"}},
		{"unknown, once for two of them", true, []string{"cas - 1 0..", "cas - 1 0..", "read 1 6..7"}},
		{"unknown, and twice", false, []string{"cas - 1 0..", "read 2 6..7"}},
		{"from the future", false, []string{"read 1 0..1", "cas - 1 2.."}},
		{"a number that nobody wrote on the way", false, []string{"cas - 1 0..1", "cas 2 3 2..", "read 3 4..5"}},
		{"no number", false, []string{"read x 0..1"}},
	})
}

func TestCountersByKey(t *testing.T) {
	t.Parallel()
	h := history(t, "cas - 1 0..1", "cas - 1 2..3")
	h[1].Key = "other"
	if f := (counters{}).check(h); f != nil {
		t.Errorf("%+v", f)
	}
}

func TestBank(t *testing.T) {
	t.Parallel()
	judge(t, bank{}.check, func(o *Op) {
		if o.Kind != Scan {
			o.Kind, o.Amount = CAS, number(strings.TrimPrefix(o.Value, "-"))
			if strings.HasPrefix(o.Value, "-") {
				o.Amount = -o.Amount
			}
			return
		}
		var page []Item
		for i, held := range strings.Split(o.Value, ",") {
			page = append(page, Item{Key: fmt.Sprint(i), Value: held})
		}
		o.Value, o.Pages = "", [][]Item{page}
	}, []judged{
		{"nothing happened", true, []string{"scan 100,100 0..1"}},
		{"moved", true, []string{"put -10 0..1", "put 10 2..3", "scan 90,110 4..5"}},
		{"on its way", true, []string{"put -10 0..1", "scan 90,100 2..3", "put 10 4..5", "scan 90,110 6..7"}},
		{"meanwhile, either", true, []string{"put -10 0..9", "scan 100,100 1..2", "scan 90,100 1..2"}},
		{"back before", false, []string{"put -10 0..1", "scan 100,100 2..3"}},
		{"withdrawn twice", false, []string{"put -10 0..1", "put 10 2..3", "scan 80,110 4..5"}},
		{"deposited twice", false, []string{"put -10 0..1", "put 10 2..3", "scan 90,120 4..5"}},
		{"deposit lost", false, []string{"put -10 0..1", "put 10 2..3", "scan 90,100 4..5"}},
		{"withdrawal lost", false, []string{"put -10 0..1", "put 10 2..3", "scan 100,110 4..5"}},
		{"withdrawn, and told that not", false, []string{"put! -10 0..1", "scan 90,100 4..5"}},
		{"deposited, and told that not", false, []string{"put -10 0..1", "put! 10 2..3", "put 10 4..5", "scan 90,120 6..7"}},
		{"deposited, and told that not, unseen so far", false, []string{"put -10 0..1", "put! 10 2..3", "scan 90,110 4..5"}},
		{"unknown withdrawal", true, []string{"put -10 0..", "scan 90,100 2..3", "scan 100,100 4..5"}},
		{"unknown deposit", true, []string{"put -10 0..1", "put 10 2..", "scan 90,100 4..5", "scan 90,110 4..5"}},
		{"two states in one look", false, []string{"put -10 0..1", "put 10 2..3", "put -20 4..5", "put 20 6..7", "scan 70,110 8..9"}},
		{"money out of nothing", false, []string{"put -10 0..9", "put 10 0..9", "scan 100,110 1..2"}},
		{"in debt", false, []string{"put -110 0..1", "put 110 2..3", "scan -10,210 4..5"}},
		{"in debt by one", false, []string{"put -101 0..1", "put 101 2..3", "scan -1,201 4..5"}},
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	judge(t, set{}.check, func(o *Op) {
		if o.Kind != Scan {
			o.Key = "s-" + o.Value
			return
		}
		var page []Item
		for _, element := range strings.FieldsFunc(o.Value, func(r rune) bool { return r == ',' }) {
			name, twice := strings.CutSuffix(element, "x2")
			it := Item{Key: "s-" + name, Value: name, Writes: 1}
			if twice {
				it.Writes = 2
			}
			page = append(page, it)
		}
		o.Key, o.Value, o.Pages = "s-", "", [][]Item{page}
	}, []judged{
		{"grows", true, []string{"scan - 0..1", "put a 2..3", "scan a 4..5", "put b 6..7", "scan a,b 8..9"}},
		{"meanwhile, either", true, []string{"put a 0..9", "scan - 1..2", "scan a 3..4"}},
		{"and gone", false, []string{"put a 0..9", "scan a 1..2", "scan - 3..4"}},
		{"lost", false, []string{"put a 0..1", "scan - 2..3"}},
		{"one of two lost", false, []string{"put a 0..1", "put b 0..1", "scan b 2..3"}},
		{"out of nowhere", false, []string{"put a 0..1", "scan a,b 2..3"}},
		{"from the future", false, []string{"scan a 0..1", "put a 2..3"}},
		{"executed twice", false, []string{"put a 0..1", "scan ax2 2..3"}},
		{"there twice", false, []string{"put a 0..1", "scan a,a 2..3"}},
		{"against itself", false, []string{"put! a 0..1"}},
		{"unknown, either", true, []string{"put a 0..", "scan - 2..3", "scan a 4..5"}},
		{"unknown, seen and gone", false, []string{"put a 0..", "scan a 2..3", "scan - 4..5"}},
	})
	h := history(t, "put a 0..1", "scan - 2..3")
	h[0].Key, h[1].Key = "s-00-a", "s-01-"
	if f := (set{}).check(h); f != nil {
		t.Errorf("an element of another prefix: %+v", f)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	judge(t, list{}.check, func(o *Op) {
		o.Value, o.Expect = strings.ReplaceAll(o.Value, "+", " "), strings.ReplaceAll(o.Expect, "+", " ")
	}, []judged{
		{"grows", true, []string{"read - 0..1", "cas - a 2..3", "cas a a+b 4..5", "read a+b 6..7"}},
		{"meanwhile, either", true, []string{"cas - a 0..9", "read - 1..2", "read a 3..4"}},
		{"and gone", false, []string{"cas - a 0..9", "read a 1..2", "read - 3..4"}},
		{"lost", false, []string{"cas - a 0..1", "read - 2..3"}},
		{"lost in the middle", false, []string{"cas - a 0..1", "cas a a+b 2..3", "cas a a+c 4..5", "read a+c 6..7"}},
		{"two branches", false, []string{"cas - a 0..9", "cas - b 0..9"}},
		{"appended twice", false, []string{"cas - a 0..1", "cas a a+b 2..3", "read a+b+b 4..5"}},
		{"failed, and there", false, []string{"cas - a 0..1", "cas! a a+b 2..3", "read a+b 4..5"}},
		{"failed, and not there", true, []string{"cas - a 0..1", "cas! - b 2..3", "read a 4..5"}},
		{"out of nowhere", false, []string{"read a 0..1"}},
		{"unknown, either", true, []string{"cas - a 0..", "read - 2..3", "read a 4..5"}},
		{"unknown, and gone", false, []string{"cas - a 0..", "read a 2..3", "read - 4..5"}},
		{"a name begins another", false, []string{"cas - a 0..9", "cas - ab 0..9"}},
	})
}

func TestLadders(t *testing.T) {
	t.Parallel()
	judge(t, new(ladders).check, func(o *Op) {
		if o.Kind != Scan {
			rung, n, _ := strings.Cut(o.Value, ":")
			o.Key, o.Value = "l-"+rung, n
			return
		}
		n, text := 0, o.Value
		o.Key, o.Value = "l-", ""
		for _, p := range strings.Split(text, "/") {
			page := []Item{}
			for _, it := range strings.FieldsFunc(p, func(r rune) bool { return r == ',' }) {
				value, twice := strings.CutSuffix(it, "x")
				writes, _ := strconv.ParseUint(value, 10, 64)
				if twice {
					writes++
				}
				page = append(page, Item{Key: "l-" + strconv.Itoa(n), Value: value, Writes: writes})
				n++
			}
			o.Pages = append(o.Pages, page)
		}
	}, []judged{
		{"nothing yet", true, []string{"scan - 0..1"}},
		{"begun", true, []string{"put 0:1 0..1", "scan 1 2..3", "put 1:1 4..5", "scan 1,1 6..7"}},
		{"meanwhile, either", true, []string{"put 0:1 0..9", "scan - 1..2", "scan 1 3..4"}},
		{"lost", false, []string{"put 0:1 0..1", "scan - 2..3"}},
		{"from the future", false, []string{"scan 1 0..1", "put 0:1 2..3"}},
		{"unknown, either", true, []string{"put 0:1 0..", "scan - 2..3", "scan 1 4..5"}},
		{"executed twice", false, []string{"put 0:1 0..1", "scan 1x 2..3"}},
		{"grows along it", false, append(twice(0, 9), "scan 1,2,1,1,1 1..2")},
		{"two behind", false, append(twice(0, 9), "scan 2 1..2")},
		{"all round", true, append(twice(0, 9), "scan 2,2,1,1,1 1..2", "scan 2,2,2,2,2 1..2", "scan 1,1,1 1..2")},
		{"at the end", true, append(twice(0, 1), "scan 2,2,2,2,2 2..3")},
		{"a rung of before", false, append(twice(0, 1), "scan 2,2,2,2,1 2..3")},
		{"pages, each of a later state", true, append(twice(0, 9), "scan 1,1/2,2/2 1..2", "scan 1/1,1 1..2", "scan 1,1/1 1..2")},
		{"a page of an earlier state", false, append(twice(0, 9), "scan 2,2/ 1..2")},
		{"a page of two states", false, append(twice(0, 9), "scan 1,1/1,2/2 1..2")},
	})
}

// twice writes every rung of a ladder twice, all at the same time.
func twice(from, to int) (out []string) {
	for r := range rungs {
		for n := 1; n <= 2; n++ {
			out = append(out, fmt.Sprintf("put %d:%d %d..%d", r, n, from, to))
		}
	}
	return out
}

// What a ladder shows that has lost a rung in the middle.
func TestLadderWithoutARung(t *testing.T) {
	t.Parallel()
	h := history(t, append(twice(0, 9), "scan - 1..2")...)
	look := &h[len(h)-1]
	for i := range h[:len(h)-1] {
		rung, n, _ := strings.Cut(h[i].Value, ":")
		h[i].Key, h[i].Value = "l-"+rung, n
	}
	look.Key, look.Pages = "l-", [][]Item{{{"l-0", "1", 1}, {"l-2", "1", 1}}}
	if f := new(ladders).check(h); f == nil || !strings.Contains(f.What, "rung before it") {
		t.Errorf("%+v", f)
	}
}
