package lb

import (
	"slices"
	"sync"
)

// maxWindow is how many numbers of one session may be in use at once, whatever
// the nodes would allow.
const maxWindow = 1024

// ticket is a number for one write, and up to which number all are done.
type ticket struct{ number, acked uint64 }

// window gives out the numbers of one session, from 1 on, and knows which are
// done. It never has more than size of them between the oldest that is not done
// and the newest: that is how far a node remembers.
type window struct {
	mu      sync.Mutex
	size    uint64
	acked   uint64                 // all numbers up to it are done
	newest  uint64                 // given out last
	inUse   int                    // given out and not done
	done    [maxWindow / 64]uint64 // bit n%maxWindow: number n, above acked, is done
	waiting []chan ticket          // each gets a ticket, or is closed when the session is over
	over    bool
}

// take gives out a number, or a channel to wait on where none is free. Both are
// nothing once the session is over.
func (w *window) take() (ticket, chan ticket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
		return ticket{}, nil
	case w.newest-w.acked < w.size:
		return w.next(), nil
	}
	ch := make(chan ticket, 1)
	w.waiting = append(w.waiting, ch)
	return ticket{}, ch
}

// tryTake gives out a number where one is free.
func (w *window) tryTake() (t ticket, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.newest-w.acked >= w.size {
		return t, false
	}
	return w.next(), true
}

// next gives out one more; the lock is held.
func (w *window) next() ticket {
	w.newest++
	w.inUse++
	return ticket{w.newest, w.acked}
}

// finish says that nobody will ask for the answer to this number any more.
func (w *window) finish(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inUse--
	w.done[number%maxWindow/64] |= 1 << (number % 64)
	for w.acked < w.newest {
		n := w.acked + 1
		word, bit := &w.done[n%maxWindow/64], uint64(1)<<(n%64)
		if *word&bit == 0 {
			break
		}
		*word &^= bit
		w.acked = n
	}
	for len(w.waiting) > 0 && w.newest-w.acked < w.size {
		w.waiting[0] <- w.next()
		w.waiting = w.waiting[1:]
	}
}

// leave ends a wait. A number that came at the last moment is finished.
func (w *window) leave(ch chan ticket) {
	w.mu.Lock()
	i := slices.Index(w.waiting, ch)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	w.mu.Unlock()
	if i >= 0 {
		return
	}
	if t := <-ch; t.number > 0 {
		w.finish(t.number)
	}
}

// end gives out no more numbers and sends away whoever waits for one.
func (w *window) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, ch := range w.waiting {
		close(ch)
	}
	w.waiting = nil
}

// upTo is up to which number all are done.
func (w *window) upTo() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// use is how many numbers are in use.
func (w *window) use() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inUse
}
