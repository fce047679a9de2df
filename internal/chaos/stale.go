package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// CheckStaleness looks for a read that returned something older than it was to:
// that began at t, while a later write of the key than the one that it saw was
// acknowledged before t - bound. nil where there is none. A later write is one that
// began after the other had ended; of two at the same time nobody knows.
func CheckStaleness(h []Op, bound time.Duration) *Finding {
	told, settled := byKey(h), byKey(settle(h))
	for _, key := range slices.Sorted(maps.Keys(told)) {
		acknowledged := only(told[key], Op.writes) // or of unknown outcome, and never ended
		sources := only(settled[key], Op.writes)
		for _, o := range told[key] {
			if o.Kind != Read {
				continue
			}
			if what := stale(o, sources, acknowledged, bound); what != "" {
				return &Finding{key, what, true}
			}
		}
	}
	return nil
}

// stale says what is wrong with a read, "" where nothing is. What it saw was true
// from one of its sources on: the write of the value, or any delete, or the
// beginning.
func stale(read Op, sources, acknowledged []Op, bound time.Duration) string {
	latest, found := time.Duration(-1), read.Value == "" // the latest end of a source; the beginning is before all
	for _, w := range sources {
		if w.leaves() == read.Value && w.Call < read.Return {
			latest, found = max(latest, w.Return), true
		}
	}
	if !found {
		return fmt.Sprintf("client %d: %v, which nobody had written by then", read.Client, read)
	}
	for _, w := range acknowledged {
		if w.Call > latest && w.Return < read.Call-bound {
			return fmt.Sprintf("client %d: %v, begun at %v: %v was acknowledged %v before that, which is longer than %v",
				read.Client, read, read.Call, w, read.Call-w.Return, bound)
		}
	}
	return ""
}

// leaves is what a write leaves in its register.
func (o Op) leaves() string {
	if o.Kind == Delete {
		return ""
	}
	return o.Value
}
