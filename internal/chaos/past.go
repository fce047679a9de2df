package chaos

import (
	"slices"
	"sort"
	"time"
)

// past says how far something that only grows had come before a moment, at the
// least: what operations show that had ended by then.
type past struct {
	ends []time.Duration
	far  []int // the furthest of those that ended by then
}

// newPast looks at all operations that show how far it was.
func newPast(h []Op, shows func(Op) (far int, ok bool)) past {
	ended := only(h, func(o Op) bool { _, ok := shows(o); return ok && o.Return != Never })
	slices.SortFunc(ended, func(a, b Op) int { return int(a.Return - b.Return) })
	p, furthest := past{}, 0
	for _, o := range ended {
		far, _ := shows(o)
		furthest = max(furthest, far)
		p.ends, p.far = append(p.ends, o.Return), append(p.far, furthest)
	}
	return p
}

// before is how far it was before t, 0 where nothing tells.
func (p past) before(t time.Duration) int {
	n := sort.Search(len(p.ends), func(i int) bool { return p.ends[i] >= t })
	if n == 0 {
		return 0
	}
	return p.far[n-1]
}
