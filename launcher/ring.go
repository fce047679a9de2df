package launcher

import (
	"bytes"
	"sync"
)

// What is kept in memory of one process's output.
const (
	ringLines    = 1000
	ringLineSize = 8 << 10 // longer lines are cut
)

// ring is an io.Writer that keeps the last lines written to it.
type ring struct {
	mu      sync.Mutex
	lines   []string // the last ones, oldest first
	count   uint64   // lines ever completed
	partial []byte
	changed chan struct{} // closed when a line comes in
}

func newRing() *ring { return &ring{changed: make(chan struct{})} }

// Write never fails.
func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			r.grow(p)
			return n, nil
		}
		r.grow(p[:i])
		r.endLine()
		p = p[i+1:]
	}
}

// flush ends a line that its writer did not: it has died.
func (r *ring) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.partial) > 0 {
		r.endLine()
	}
}

func (r *ring) grow(p []byte) {
	room := ringLineSize - len(r.partial)
	r.partial = append(r.partial, p[:min(len(p), room)]...)
}

func (r *ring) endLine() {
	if len(r.lines) == ringLines {
		copy(r.lines, r.lines[1:])
		r.lines = r.lines[:ringLines-1]
	}
	r.lines = append(r.lines, string(r.partial))
	r.partial = r.partial[:0]
	r.count++
	close(r.changed)
	r.changed = make(chan struct{})
}

// tail returns the last n lines, and the position behind them for since.
func (r *ring) tail(n int) ([]string, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = max(0, min(n, len(r.lines)))
	return append([]string(nil), r.lines[len(r.lines)-n:]...), r.count
}

// since returns the lines behind a position that are still there, the new
// position, and a channel that is closed when there are more.
func (r *ring) since(pos uint64) ([]string, uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(r.count-pos, uint64(len(r.lines)))
	return append([]string(nil), r.lines[uint64(len(r.lines))-n:]...), r.count, r.changed
}
