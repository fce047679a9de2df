package lb

import "fmt"

// Audit says what does not balance while no request is under way: what is lent and not
// given back, and what is counted and not counted out.
func (b *Balancer) Audit() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	out := make(map[*backend]int)
	for _, w := range b.workers.all {
		done := make(chan struct{})
		w.Post(func() {
			defer close(done)
			for be, st := range w.stock {
				out[be] += st.out
				if len(st.idle) != st.out || len(st.shared) > 0 {
					say("%s: %d idle links of %d, %d shared", be.HTTP, len(st.idle), st.out, len(st.shared))
				}
			}
			if len(w.guests) > 0 || len(w.due) > 0 || len(w.loaded) > 0 || len(w.answered) > 0 || w.aboard > 0 {
				say("a worker: %d guests, %d links and %d bundles to be sent to, %d answered, %d rides",
					len(w.guests), len(w.due), len(w.loaded), len(w.answered), w.aboard)
			}
		})
		<-done
	}
	for _, be := range b.registry.all() {
		bundles := 0
		be.bundles.mu.Lock()
		if bu := be.bundles.open; bu != nil {
			if bundles = 1; bu.waits() {
				say("%s: somebody waits for a bundle", be.HTTP)
			}
		}
		be.bundles.mu.Unlock()
		p := be.pool
		p.mu.Lock()
		if p.open != len(p.all) || p.open != len(p.idle)+out[be]+bundles || p.dialing != 0 {
			say("%s: %d connections, counted as %d, of which %d idle, %d lent, %d bundles, %d dialing",
				be.HTTP, len(p.all), p.open, len(p.idle), out[be], bundles, p.dialing)
		}
		p.mu.Unlock()
		if n := be.busy.Load(); n != 0 {
			say("%s: %d requests under way", be.HTTP, n)
		}
	}
	for _, s := range b.sessions.all() {
		s.window.mu.Lock()
		if s.acked != s.newest || s.inUse != 0 || s.done != [maxWindow / 64]uint64{} {
			say("the window: up to %d of %d are done, %d in use", s.acked, s.newest, s.inUse)
		}
		s.window.mu.Unlock()
	}
	n := &b.sessions.numbers
	n.mu.Lock()
	defer n.mu.Unlock()
	if queued := n.queued.Load(); queued != 0 || len(n.waiting) > 0 {
		say("%d wait for a number, counted as %d", len(n.waiting), queued)
	}
	return wrong
}
