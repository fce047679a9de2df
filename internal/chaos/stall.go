package chaos

import (
	"slices"
	"time"
)

// longestStall is the longest time in which no write through the balancer was
// acknowledged, though writes were waiting. One of unknown outcome waited until its
// client gave up, or to the end.
func longestStall(h []Op) time.Duration {
	var writes []Op // by their begin
	var ends []time.Duration
	last := time.Duration(0)
	for _, o := range h {
		last = max(last, o.Call)
		if o.At != "lb" || !o.writes() {
			continue
		}
		writes = append(writes, o)
		if o.Result == OK {
			ends = append(ends, o.Return)
			last = max(last, o.Return)
		}
	}
	slices.SortFunc(writes, func(a, b Op) int { return int(a.Call - b.Call) })
	slices.Sort(ends)
	longest, since := time.Duration(0), time.Duration(0)
	for _, end := range append(ends, last) {
		if from, waiting := firstWaiting(writes, since, end); waiting {
			longest = max(longest, end-from)
		}
		since = end
	}
	return longest
}

// firstWaiting is from when on in a time without an acknowledged write one was
// waiting: from its begin where one was then.
func firstWaiting(writes []Op, since, end time.Duration) (from time.Duration, waiting bool) {
	// Clients give up in time, so that older ones wait no more.
	i, _ := slices.BinarySearchFunc(writes, since-answerTimeout, func(o Op, t time.Duration) int { return int(o.Call - t) })
	for ; i < len(writes) && writes[i].Call < end; i++ {
		o := writes[i]
		if o.Call >= since {
			return o.Call, true
		}
		if min(o.Return, o.Call+answerTimeout) > since {
			return since, true
		}
	}
	return 0, false
}
