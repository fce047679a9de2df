package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ladders are groups of keys, the rungs, that one client writes in a fixed order,
// over and over, each when the write before it was acknowledged: every rung gets 1,
// then every rung 2, and so on. So whoever looks at rungs in one state sees numbers
// that never grow along them and differ by one at most, and each rung was written as
// often as its number says. Every client looks; those of the balancer write.
type ladders struct {
	l  *load
	mu sync.Mutex
	n  int // ladders so far
}

const rungs = 5

func (w *ladders) rung(ladder, n int) string { return fmt.Sprintf("%s%d", w.prefix(ladder), n) }

func (w *ladders) prefix(ladder int) string { return w.l.key(ofLadders, strconv.Itoa(ladder)+"-") }

// count is how many ladders there are.
func (w *ladders) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// build begins a new ladder and returns its number.
func (w *ladders) build() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return w.n - 1
}

func (w *ladders) join(c *client) func() {
	if c.here.name != w.l.front.name {
		return func() { w.lookAtOne(c) }
	}
	climber := &climber{client: c, w: w, ladder: w.build()}
	return func() {
		if c.chance(3) {
			w.lookAtOne(c)
			return
		}
		climber.step()
	}
}

// climber writes a ladder.
type climber struct {
	*client
	w      *ladders
	ladder int
	steps  int // acknowledged
}

// step writes the next rung. A ladder of which nobody knows how far it is gets
// no more steps.
func (c *climber) step() {
	o := c.certain(c.here, Op{
		Workload: ofLadders, Key: c.w.rung(c.ladder, c.steps%rungs), Kind: Put, Value: strconv.Itoa(c.steps/rungs + 1),
	})
	switch o.Result {
	case OK:
		c.steps++
	case Unknown, Failed:
		c.ladder, c.steps = c.w.build(), 0
	}
}

// lookAtOne looks at any ladder, at all rungs in one page, in three pages, or by
// their names.
func (w *ladders) lookAtOne(c *client) {
	n := w.count()
	if n == 0 {
		return
	}
	ladder := c.random.IntN(n)
	switch c.random.IntN(3) {
	case 0:
		w.look(c, ladder)
	case 1:
		c.scan(c.here, w.op(ladder), 2)
	case 2:
		var keys []string
		for r := range rungs {
			keys = append(keys, w.rung(ladder, r))
		}
		c.getMany(c.here, w.op(ladder), keys)
	}
}

func (w *ladders) op(ladder int) Op { return Op{Workload: ofLadders, Key: w.prefix(ladder)} }

func (w *ladders) look(c *client, ladder int) bool {
	_, ok := c.scan(c.here, w.op(ladder), rungs)
	return ok
}

func (w *ladders) closing(c *client) bool {
	for ladder := range w.count() {
		if !w.look(c, ladder) {
			return false
		}
	}
	return true
}

func (*ladders) check(h []Op) *Finding {
	looks, steps := map[string][]Op{}, map[string][]Op{}
	for _, o := range h {
		if o.Kind == Scan {
			looks[o.Key] = append(looks[o.Key], o)
			continue
		}
		prefix := o.Key[:strings.LastIndexByte(o.Key, '-')+1]
		steps[prefix] = append(steps[prefix], o)
	}
	for _, prefix := range slices.Sorted(maps.Keys(looks)) {
		if what := checkLadder(prefix, looks[prefix], steps[prefix]); what != "" {
			return &Finding{Key: prefix, What: what}
		}
	}
	return nil
}

// checkLadder says what is wrong with what was seen of one ladder, "" where nothing
// is.
func checkLadder(prefix string, looks, steps []Op) string {
	acked, begun := [rungs]past{}, [rungs]map[int]time.Duration{}
	for r := range rungs {
		own := only(steps, func(o Op) bool { return o.Key == prefix+strconv.Itoa(r) })
		acked[r] = newPast(own, func(o Op) (int, bool) { return number(o.Value), o.Result == OK })
		begun[r] = map[int]time.Duration{}
		for _, o := range own {
			begun[r][number(o.Value)] = o.Call
		}
	}
	for _, o := range looks {
		seen, what := checkPages(prefix, o)
		for r := 0; r < rungs && what == ""; r++ {
			first, written := begun[r][seen[r]]
			switch was := acked[r].before(o.Call); {
			case seen[r] < was:
				what = fmt.Sprintf("rung %d is %d, and was %d before", r, seen[r], was)
			case seen[r] > 0 && (!written || first >= o.Return):
				what = fmt.Sprintf("rung %d is %d, which nobody had written by then", r, seen[r])
			}
		}
		if what != "" {
			return fmt.Sprintf("client %d at %s, begun at %v: %s; it saw %v", o.Client, o.At, o.Call, what, o.Pages)
		}
	}
	return ""
}

// checkPages looks at each page of a look for itself, and returns the number of each
// rung, 0 of those that are not there. A page is no older than the one before it; so
// the first rung of it is at most one behind the last one before.
func checkPages(prefix string, look Op) (seen [rungs]int, what string) {
	next, before := 0, 0
	for i, page := range look.Pages {
		numbers := []int{}
		for _, it := range page {
			n := number(it.Value)
			if it.Key != prefix+strconv.Itoa(next) || next == rungs {
				return seen, fmt.Sprintf("%s is there, and the rung before it is not", it.Key)
			}
			if it.Writes != uint64(n) {
				return seen, fmt.Sprintf("rung %d is %d, and was written %d times", next, n, it.Writes)
			}
			seen[next] = n
			numbers = append(numbers, n)
			next++
		}
		if i == len(look.Pages)-1 {
			numbers = append(numbers, make([]int, rungs-next)...) // those that are not there
		}
		if len(numbers) == 0 {
			continue
		}
		last := numbers[len(numbers)-1]
		if numbers[0]-last > 1 || !slices.IsSortedFunc(numbers, func(a, b int) int { return b - a }) {
			return seen, fmt.Sprintf("page %d is of no state that there was", i+1)
		}
		if i > 0 && numbers[0] < before-1 {
			return seen, fmt.Sprintf("page %d is of a state before the one of page %d", i+1, i)
		}
		before = last
	}
	return seen, ""
}
