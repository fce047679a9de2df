package lb

import (
	"slices"
	"sync"
	"sync/atomic"
)

// ticket is a number for one write in a session, and up to which number all are done there.
type ticket struct {
	session       *session
	number, acked uint64
}

// numbers gives out the numbers of all sessions that are open.
type numbers struct {
	list  atomic.Pointer[[]*session]
	short func() // is called when somebody begins to wait

	queued  atomic.Int32 // who waits, or is about to
	mu      sync.Mutex
	waiting []chan ticket // each gets a ticket, or is closed when no session is left
}

// all are the sessions that are open.
func (n *numbers) all() []*session {
	if all := n.list.Load(); all != nil {
		return *all
	}
	return nil
}

// free finds a number, in the session whose turn it is if it has one.
func (n *numbers) free(turn int) (ticket, bool) {
	all := n.all()
	for i := range all {
		s := all[(turn+i)%len(all)]
		if number, acked, ok := s.take(); ok {
			return ticket{s, number, acked}, true
		}
	}
	return ticket{}, false
}

// awaited says whether anybody waits for a number.
func (n *numbers) awaited() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiting) > 0
}

// tryTake gives out a number where one is free, and nobody waits for it.
func (n *numbers) tryTake(turn int) (ticket, bool) {
	if n.queued.Load() > 0 {
		return ticket{}, false
	}
	return n.free(turn)
}

// take gives out a number, or a channel to wait on where none is free. Both are nothing
// where no session is open.
func (n *numbers) take() (ticket, chan ticket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queued.Add(1) // whoever frees a number behind the look for one sees it
	if len(n.waiting) == 0 {
		if t, ok := n.free(0); ok || len(n.all()) == 0 {
			n.queued.Add(-1)
			return t, nil
		}
	}
	ch := make(chan ticket, 1)
	n.waiting = append(n.waiting, ch)
	n.short()
	return ticket{}, ch
}

// finish says that nobody will ask for the answer to this number any more.
func (t ticket) finish() {
	t.session.window.finish(t.number)
	if n := t.session.of; n.queued.Load() > 0 {
		n.serve()
	}
}

// serve gives numbers that are free to those who wait.
func (n *numbers) serve() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.waiting) > 0 {
		t, ok := n.free(0)
		if !ok {
			return
		}
		n.waiting[0] <- t
		n.waiting = n.waiting[1:]
		n.queued.Add(-1)
	}
}

// leave ends a wait. A number that came at the last moment is finished.
func (n *numbers) leave(ch chan ticket) {
	n.mu.Lock()
	i := slices.Index(n.waiting, ch)
	if i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
		n.queued.Add(-1)
	}
	n.mu.Unlock()
	if i >= 0 {
		return
	}
	if t := <-ch; t.session != nil {
		t.finish()
	}
}

// set says which sessions are open from now on. Where there is none, all who wait are sent
// away.
func (n *numbers) set(all []*session) {
	n.mu.Lock()
	n.list.Store(&all)
	if len(all) == 0 {
		for _, ch := range n.waiting {
			close(ch)
		}
		n.queued.Add(-int32(len(n.waiting))) //nolint:gosec // as many as requests at most
		n.waiting = nil
	}
	n.mu.Unlock()
	n.serve()
}
