package launcher

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// printerQueue is how many events wait for a slow terminal; more are dropped,
// since nothing may wait for a person who has scrolled up.
const printerQueue = 1024

// printer writes events on a goroutine of its own.
type printer struct {
	mu     sync.Mutex
	closed bool
	queue  chan Event
	done   chan struct{}
	broken chan struct{} // closed when out cannot be written any more
}

// newPrinter writes to out: JSON lines, or text in which command is how the
// user calls dengine-up.
func newPrinter(out io.Writer, asJSON bool, command string) *printer {
	p := &printer{queue: make(chan Event, printerQueue), done: make(chan struct{}), broken: make(chan struct{})}
	write := func(e Event) error { return RenderEvent(out, e, command) }
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		write = func(e Event) error { return enc.Encode(e) }
	}
	go func() {
		defer close(p.done)
		isBroken := false
		for e := range p.queue {
			if err := write(e); err != nil && !isBroken {
				isBroken = true
				close(p.broken)
			}
		}
	}()
	return p
}

// tell never blocks. After close it does nothing.
func (p *printer) tell(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	select {
	case p.queue <- e:
	default:
	}
}

// close returns when everything told is written. A terminal that takes nothing
// (Ctrl-S) holds nobody up for long: after closeGrace, or when now is closed,
// the rest stays unwritten.
func (p *printer) close(now <-chan struct{}) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
	p.mu.Unlock()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
	case <-now:
	}
}
