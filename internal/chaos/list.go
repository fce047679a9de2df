package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// list is values that elements are appended to with CAS, half of them under an
// Idempotency-Key until the outcome is certain. Every few seconds there is a new one,
// so that none grows long.
type list struct{ l *load }

const listTime = 2 * time.Second

func (w list) key(n int) string { return w.l.key(ofList, strconv.Itoa(n)) }

// newest is the number of the list that is appended to now.
func (w list) newest() int { return int(w.l.since() / listTime) }

func (w list) join(c *client) func() {
	return func() {
		n := w.newest()
		if n > 0 && c.chance(4) {
			n = c.random.IntN(n)
		}
		seen, ok := w.read(c, n)
		if !ok || n < w.newest() || c.chance(3) {
			return
		}
		o := Op{Workload: ofList, Key: seen.Key, Kind: CAS, Value: strings.TrimSpace(seen.Value + " " + c.newValue()), Expect: seen.Value}
		if c.chance(2) {
			c.write(o, unchanged(seen)...)
			return
		}
		c.certain(c.here, o, unchanged(seen)...)
	}
}

func (w list) read(c *client, n int) (Op, bool) {
	return c.get(c.here, Op{Workload: ofList, Key: w.key(n)}, w.l.promise.strong())
}

func (w list) closing(c *client) bool {
	for n := range w.newest() + 1 {
		if _, ok := w.read(c, n); !ok {
			return false
		}
	}
	return true
}

func (list) check(h []Op) *Finding {
	keys := byKey(h)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if what := checkList(keys[key]); what != "" {
			return &Finding{Key: key, What: what}
		}
	}
	return nil
}

// checkList says what is wrong with the history of one list, "" where nothing is.
// All that was ever there begins the longest that was; nothing shorter is seen
// after something longer; and each element was appended, once, by somebody who was
// not refused.
func checkList(h []Op) string {
	shown := only(h, func(o Op) bool { return o.Result == OK })
	longest := ""
	for _, o := range shown {
		if len(o.Value) > len(longest) {
			longest = o.Value
		}
	}
	least := newPast(shown, func(o Op) (int, bool) { return len(o.Value), true })
	for _, o := range shown {
		if o.Value != "" && !strings.HasPrefix(longest+" ", o.Value+" ") {
			return fmt.Sprintf("client %d at %s: it was %s, which does not begin what was there too: %s", o.Client, o.At, tail(o.Value), tail(longest))
		}
		saw := o.Value
		if o.Kind == CAS {
			saw = o.Expect
		}
		if was := least.before(o.Call); len(saw) < was {
			return fmt.Sprintf("client %d at %s, begun at %v: it was %s, and had been %s", o.Client, o.At, o.Call, tail(saw), tail(longest[:was]))
		}
	}
	return checkAppended(longest, h)
}

// checkAppended looks for who appended each element.
func checkAppended(all string, h []Op) string {
	appended, seen := map[string]bool{}, map[string]bool{}
	for _, o := range only(h, Op.writes) {
		words := strings.Fields(o.Value)
		appended[words[len(words)-1]] = true
	}
	for _, element := range strings.Fields(all) {
		switch {
		case seen[element]:
			return fmt.Sprintf("%s is there twice: %s", element, tail(all))
		case !appended[element]:
			return fmt.Sprintf("%s is there, and who appended it was told that it is not: %s", element, tail(all))
		}
		seen[element] = true
	}
	return ""
}

// tail is the end of a list, with how long it is, for people.
func tail(list string) string {
	const most = 4
	words := strings.Fields(list)
	if len(words) <= most {
		return fmt.Sprint(words)
	}
	return fmt.Sprintf("%d elements to %v", len(words), words[len(words)-most:])
}
