package lb

import "sync"

// maxWindow is how many numbers of one session may be in use at once, whatever
// the nodes would allow.
const maxWindow = 1024

// window gives out the numbers of one session, from 1 on, and knows which are
// done. It never has more than size of them between the oldest that is not done
// and the newest: that is how far a node remembers.
type window struct {
	mu     sync.Mutex
	size   uint64
	acked  uint64                 // all numbers up to it are done
	newest uint64                 // given out last
	inUse  int                    // given out and not done
	done   [maxWindow / 64]uint64 // bit n%maxWindow: number n, above acked, is done
	over   bool
}

// take gives out a number where one is free, and says up to which all are done.
func (w *window) take() (number, acked uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.newest-w.acked >= w.size {
		return 0, 0, false
	}
	w.newest++
	w.inUse++
	return w.newest, w.acked, true
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
}

// end gives out no more numbers.
func (w *window) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
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
