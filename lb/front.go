package lb

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// unusedGrace is how long, after the port was closed, a connection may take to
// bring its first request.
const unusedGrace = 500 * time.Millisecond

// front accepts clients and hands them to a server. A server's limits are fixed
// when it is made, so new limits get a new server for new connections, while
// the ones there are stay with theirs.
type front struct {
	ln     net.Listener
	log    *zap.Logger
	handle fasthttp.RequestHandler
	stats  *stats

	open    atomic.Int64  // clients' connections
	stopped chan struct{} // closed when no more are accepted

	workers *workers // it may have none

	mu      sync.Mutex
	limits  edge.Limits
	current *generation
	older   []*generation
	guests  map[*guest]struct{}
	serving sync.WaitGroup // generations and refused connections
	visits  sync.WaitGroup // of guests that workers sent back
	linger  chan struct{}
	closing bool // no more generations
}

// generation is one server and the listener that feeds it.
type generation struct {
	srv    *fasthttp.Server
	ln     *feed
	visits int // of guests that workers sent back; the front's lock guards it
}

func newFront(ln net.Listener, l edge.Limits, log *zap.Logger, st *stats, ws *workers, handle fasthttp.RequestHandler) *front {
	f := &front{ln: ln, log: log, handle: handle, stats: st, workers: ws, limits: l, guests: make(map[*guest]struct{}), stopped: make(chan struct{}), linger: make(chan struct{}, lingering)}
	f.current = f.newGeneration(l)
	return f
}

func (f *front) newGeneration(l edge.Limits) *generation {
	srv := edge.NewServer(l, f.log, f.handle, stampOutcome)
	srv.StreamRequestBody = true
	srv.Concurrency = 1 << 20 // the front counts for itself, and says so when it refuses
	srv.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
		// What would be refused for its length is refused before it is sent.
		if ctx.Request.Header.ContentLength() > l.BodyBytes {
			edge.FromReadError(fasthttp.ErrBodyTooLarge, l).Write(ctx)
			return fasthttp.StatusRequestEntityTooLarge
		}
		return fasthttp.StatusContinue
	}
	received := srv.HeaderReceived
	srv.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
		cfg := received(h)
		switch n := h.ContentLength(); {
		case n > l.BodyBytes:
			// The server reads the first bytes of a body before anyone may look
			// at the request; one is enough of what will be refused.
			cfg.MaxRequestBodySize = 1
		case n == 0 || n == framingNone:
			cfg.ReadTimeout = 0 // nothing is left to be read: the deadline may stay as it is
		}
		return cfg
	}
	srv.ConnState = edge.VisitState
	g := &generation{srv: srv, ln: newFeed(f.ln.Addr())}
	f.serving.Go(func() {
		if err := srv.Serve(g.ln); err != nil && !errors.Is(err, net.ErrClosed) {
			f.log.Error("front server ended", zap.Error(err))
		}
	})
	return g
}

// reload puts new limits in force for new connections.
func (f *front) reload(l edge.Limits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	same := f.limits
	same.Conns = l.Conns
	f.limits = l
	if same == l || f.closing {
		return
	}
	var busy []*generation
	for _, g := range append(f.older, f.current) {
		if g != f.current && g.visits == 0 && g.srv.GetOpenConnectionsCount() <= 0 {
			_ = g.ln.Close()
			continue
		}
		busy = append(busy, g)
	}
	f.older, f.current = busy, f.newGeneration(l)
}

// stop ends accept. It is called once.
func (f *front) stop() {
	close(f.stopped)
	_ = f.ln.Close()
}

// shutdown takes no more connections, closes idle ones, and waits for the rest
// until ctx ends. It is called once.
func (f *front) shutdown(ctx context.Context) error {
	f.stop()
	// The servers count a connection that never carried a request as busy for 5 s.
	unused := time.AfterFunc(unusedGrace, func() { f.cut(func(used bool) bool { return !used }) })
	defer unused.Stop()
	f.mu.Lock()
	f.closing = true
	all := append(append([]*generation(nil), f.older...), f.current)
	f.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, g := range all {
		wg.Go(func() {
			_ = g.ln.Close() // a server that has not begun to serve yet would not know
			errs[i] = g.srv.ShutdownWithContext(ctx)
		})
	}
	wg.Go(f.workers.drain)
	wg.Wait()
	f.visits.Wait()
	return errors.Join(errs...)
}
