package node

import "testing"

// An entry holds no more commands or bytes than it may, whether they come alone or
// together; one proposal that is larger by itself gets an entry of its own.
func TestGatherKeepsTheBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		counts, sizes []int
		entries       []int // proposals in each
	}{
		"all fit":           {[]int{1, 3, 1}, []int{10, 30, 10}, []int{3}},
		"commands":          {[]int{maxEntryCommands - 5, 5, 6, maxEntryCommands - 5, 1}, []int{1, 1, 1, 1, 1}, []int{2, 1, 2}},
		"bytes":             {[]int{1, 1, 1}, []int{60, 40, 1}, []int{2, 1}},
		"one is too large":  {[]int{1, 4, 1}, []int{1, 1000, 1}, []int{1, 1, 1}},
		"full by commands":  {[]int{maxEntryCommands, 1}, []int{1, 1}, []int{1, 1}},
		"first is too much": {[]int{4, 1}, []int{1000, 1}, []int{1, 1}},
	} {
		p := &proposer{maxBytes: 100, queue: make(chan *proposal, len(c.counts)), quit: make(chan struct{})}
		for i, n := range c.counts {
			p.queue <- &proposal{encoded: make([]byte, c.sizes[i]), count: n}
		}
		var held *proposal
		for i, want := range c.entries {
			var batch []*proposal
			if held != nil {
				batch = append(batch, held)
			} else if len(p.queue) == 0 {
				t.Fatalf("%s: there is no entry %d", name, i)
			}
			if batch, held = p.gather(batch); len(batch) != want {
				t.Errorf("%s: entry %d has %d proposals, want %d", name, i, len(batch), want)
			}
		}
		if held != nil || len(p.queue) > 0 {
			t.Errorf("%s: some are left", name)
		}
	}
}
