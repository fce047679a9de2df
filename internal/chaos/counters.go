package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// counters are keys that hold a number, 0 where there is none. An increment reads
// one and writes the next number where that is still there, half of the time under
// an Idempotency-Key until the outcome is certain.
type counters struct{ l *load }

const counterKeys = 4

func (w counters) key(n int) string { return w.l.key(ofCounters, strconv.Itoa(n)) }

func (w counters) join(c *client) func() {
	return func() {
		seen, ok := w.read(c, c.random.IntN(counterKeys))
		if ok && !c.chance(3) {
			w.increment(c, seen)
		}
	}
}

func (w counters) read(c *client, n int) (Op, bool) {
	return c.get(c.here, Op{Workload: ofCounters, Key: w.key(n)}, w.l.promise.strong())
}

func (w counters) increment(c *client, seen Op) {
	o := Op{Workload: ofCounters, Key: seen.Key, Kind: CAS, Value: strconv.Itoa(number(seen.Value) + 1), Expect: seen.Value}
	if c.chance(2) {
		c.write(o, unchanged(seen)...)
		return
	}
	c.certain(c.here, o, unchanged(seen)...)
}

func (w counters) closing(c *client) bool {
	for n := range counterKeys {
		if _, ok := w.read(c, n); !ok {
			return false
		}
	}
	return true
}

func (counters) check(h []Op) *Finding {
	keys := byKey(h)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if what := checkCounter(keys[key]); what != "" {
			return &Finding{Key: key, What: what}
		}
	}
	return nil
}

// checkCounter says what is wrong with the history of one counter, "" where nothing
// is. Each number was written once, from the one before, by somebody who was not
// refused, and nobody sees less than was there before. So what is there at the end
// lies between the increments that were acknowledged and those that may have happened.
func checkCounter(h []Op) string {
	begun, acked := map[int]time.Duration{}, map[int]Op{} // by the number that was written
	for _, o := range only(h, Op.writes) {
		n := number(o.Value)
		if first, ok := begun[n]; !ok || o.Call < first {
			begun[n] = o.Call
		}
		if o.Result != OK {
			continue
		}
		if other, twice := acked[n]; twice {
			return fmt.Sprintf("clients %d and %d were both told that they counted from %d to %d", other.Client, o.Client, n-1, n)
		}
		acked[n] = o
	}
	least, most := newPast(h, reached), 0
	for _, o := range h {
		saw, ok := reached(o)
		if !ok {
			continue
		}
		most = max(most, saw)
		if o.Kind == CAS {
			saw-- // what it was counted from
		}
		if was := least.before(o.Call); saw < was {
			return fmt.Sprintf("client %d at %s saw %d, begun at %v: it was %d before", o.Client, o.At, saw, o.Call, was)
		}
		if first, ok := begun[saw]; saw != 0 && (!ok || first >= o.Return) {
			return fmt.Sprintf("client %d at %s saw %d, which nobody had written by then, or was told so", o.Client, o.At, saw)
		}
	}
	for n := range most {
		if _, ok := begun[n+1]; !ok {
			return fmt.Sprintf("it came to %d, though nobody wrote %d, or was told so", most, n+1)
		}
	}
	return ""
}

// reached is the number that a counter certainly had while an operation went on.
func reached(o Op) (int, bool) {
	if o.Result != OK {
		return 0, false
	}
	return number(o.Value), true
}
