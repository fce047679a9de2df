package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check goes through the writes, each of which has a key of its own, and looks at
// how often the keys were written.
func (w expiry) check(h []Op) *Finding {
	executed := map[string]int{}
	keys := byKey(only(h, func(o Op) bool { return o.Kind != Scan }))
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		n, what := checkIdentity(keys[key])
		if what != "" {
			return &Finding{Key: key, What: what}
		}
		executed[key] = n
	}
	for _, o := range h {
		for _, it := range o.items() {
			if most := executed[it.Key]; it.Writes > uint64(most) {
				return &Finding{Key: it.Key, What: fmt.Sprintf("it was written %d times, want at most %d", it.Writes, most)}
			}
		}
	}
	return nil
}

// checkIdentity says what is wrong with a write and its repeats, in their order, ""
// where nothing is; and how often they may have been executed. The cluster's clock
// runs no faster than the clients': an identity is good for its lifetime at
// least, from when the write was sent, or of a session, when it was last used.
func checkIdentity(h []Op) (executed int, what string) {
	session, life := strings.Contains(h[0].Key, "-"+inSession), keyLife
	if session {
		life = sessionLife
	}
	first, used := h[0], h[0].Call
	if executed = 1; first.Result == OK && first.Writes != 1 {
		return executed, fmt.Sprintf("client %d at %s was told that its only write was number %d", first.Client, first.At, first.Writes)
	}
	for _, o := range h[1:] {
		late := o.Return >= used+life
		switch {
		case o.Result == Unknown:
			if !session && late { // a late copy may be a new write
				executed++
			}
			continue
		case o.Result == OK && o.Replayed && o.Tag == first.Tag && o.Writes == first.Writes:
			if session {
				used = o.Call
			}
			continue
		case late && session && o.Result == Failed:
			continue
		case late && !session && o.Result == OK && o.Writes > first.Writes && o.Writes <= uint64(executed)+1:
			// A new write; the balancer may have had to send it again, and have got that answer.
			executed++
			first, used = o, o.Call
			continue
		}
		return executed, fmt.Sprintf("client %d at %s asked again %v after the last use and was told: %s, replayed %t, %s, write %d; at first %s, write %d",
			o.Client, o.At, o.Call-used, o.Result, o.Replayed, o.Tag, o.Writes, first.Tag, first.Writes)
	}
	return executed, ""
}
