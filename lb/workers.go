package lb

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dengine/dengine/internal/edge/loop"
	"github.com/dengine/dengine/internal/edge/poll"
	"go.uber.org/zap"
)

// workers answer plain requests, each many of them in one goroutine, with a poller and
// connections to backends of its own, as the workers of nginx and Envoy do. Between two
// requests of a connection the server lets go of it, and a worker takes over (guest.go).
// Whatever is not plain, a worker gives back: a request with questions (plain.go), an
// answer that is long, late or otherwise unusual, and a backend that does not answer at
// all (handed.go). So a worker decides nothing but whom a request goes to first.
type workers struct {
	all     []*worker
	next    atomic.Uint32
	wg      sync.WaitGroup
	started bool

	answered atomic.Uint64 // requests
	returned atomic.Uint64 // guests that went back to the server
}

// newWorkers makes n workers, which start runs, and close ends.
func newWorkers(b *Balancer, n int, log *zap.Logger) (*workers, error) {
	ws := &workers{}
	for range n {
		l, err := loop.New(poll.InKernel, log)
		if err != nil {
			ws.close()
			return nil, fmt.Errorf("make the balancer's workers: %w", err)
		}
		ws.all = append(ws.all, newWorker(b, ws, l))
	}
	return ws, nil
}

func (ws *workers) start() {
	ws.started = true
	for _, w := range ws.all {
		ws.wg.Go(w.run)
	}
}

// pick is the worker of the next guest.
func (ws *workers) pick() *worker { return ws.all[int(ws.next.Add(1))%len(ws.all)] }

// each has every worker do something, and waits for nothing.
func (ws *workers) each(do func(*worker)) {
	for _, w := range ws.all {
		w.Post(func() { do(w) })
	}
}

// recall has workers give back the idle connections that a backend's pool wants.
func (ws *workers) recall(be *backend) { ws.each(func(w *worker) { w.recall(be) }) }

// drain ends connections that carry no request, and all others behind their answer. It
// returns once there are none.
func (ws *workers) drain() {
	gone := make(chan struct{}, len(ws.all))
	ws.each(func(w *worker) { w.drain(gone) })
	for range ws.all {
		<-gone
	}
}

// close ends the workers, and what they have.
func (ws *workers) close() {
	if !ws.started {
		for _, w := range ws.all {
			w.End(w.last)
		}
		return
	}
	ws.each(func(w *worker) { w.stop() })
	ws.wg.Wait()
}
