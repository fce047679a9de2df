package lb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// Balancer is one balancer. New makes it, Run serves.
type Balancer struct {
	log      *zap.Logger
	set      atomic.Pointer[settings]
	registry *registry
	front    *front
	admin    *fasthttp.Server
	adminLn  net.Listener
	stats    *stats
	metrics  *prometheus.Registry
	started  time.Time

	exchanges sync.Pool
	streams   sync.Pool
	held      budget
	buffered  atomic.Int64  // bytes that request bodies take
	turn      atomic.Uint64 // of the round-robin
	inFlight  atomic.Int64
	inDoubt   atomic.Uint64 // writes answered with an unknown outcome
	doubts    atomic.Uint64 // writes that came into doubt
	replays   atomic.Uint64 // sendings of writes in doubt
	sessions  *sessions
	workers   *workers
	clock     edge.DateClock

	ctx     context.Context // ends watchers and dials
	cancel  context.CancelFunc
	overdue chan struct{} // closed when what is held has no more time

	draining  atomic.Bool
	drainOnce sync.Once
	drain     chan struct{} // closed when draining begins
	flights   sync.WaitGroup
	tunnels   sync.WaitGroup

	reloading sync.Mutex
	ran       atomic.Bool
}

// New listens on both ports and serves neither yet: clients that connect wait
// for Run. A balancer that is not run must be given to Close.
func New(cfg Config, log *zap.Logger) (*Balancer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("balancer: %w", err)
	}
	access, err := openAccessLog(cfg, nil)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		access.closeUnless(nil)
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	adminLn, err := net.Listen("tcp", cfg.Admin)
	if err != nil {
		access.closeUnless(nil)
		_ = ln.Close()
		return nil, fmt.Errorf("listen for operators: %w", err)
	}
	log = log.Named("lb")
	b := &Balancer{
		log: log, adminLn: adminLn, stats: newStats(), started: time.Now(),
		overdue: make(chan struct{}), drain: make(chan struct{}),
	}
	b.metrics = newMetrics(b)
	b.exchanges.New = func() any { return new(exchange) }
	b.streams.New = func() any { return new(bodyStream) }
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.set.Store(&settings{cfg: cfg, routes: newRoutes(cfg), access: access})
	if b.workers, err = newWorkers(b, cfg.Workers, log.Named("workers")); err != nil {
		access.closeUnless(nil)
		return nil, errors.Join(err, ln.Close(), adminLn.Close())
	}
	b.registry = newRegistry(b.ctx, cfg, log.Named("backends"))
	b.registry.recall = b.workers.recall
	b.sessions = newSessions(b.registry, &b.set, log.Named("session"))
	b.front = newFront(ln, cfg.Limits, log.Named("front"), b.stats, b.workers, b.serve)
	b.admin = edge.NewServer(adminLimits(), log.Named("admin"), b.serveAdmin, nil)
	return b, nil
}

// Addr is where clients are accepted.
func (b *Balancer) Addr() string { return b.front.ln.Addr().String() }

// AdminAddr is where operators are.
func (b *Balancer) AdminAddr() string { return b.adminLn.Addr().String() }

// Close gives up the ports of a balancer that was never run.
func (b *Balancer) Close() error {
	if b.ran.Swap(true) {
		return nil
	}
	b.cancel()
	err := b.front.ln.Close()
	_ = b.front.current.ln.Close()
	b.front.serving.Wait()
	b.workers.close()
	b.set.Load().access.closeUnless(nil)
	return errors.Join(err, b.adminLn.Close())
}

// Run serves until ctx ends, then takes no more connections and waits for what
// is in flight, held writes included, for the drain timeout at most. Then it
// cuts what is left. It returns nil if nothing but tunnels had to be cut, and
// ErrDrain otherwise. It may be called once.
func (b *Balancer) Run(ctx context.Context) error {
	if b.ran.Swap(true) {
		return errors.New("balancer was run or closed already")
	}
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	wg.Go(func() {
		if err := b.front.accept(); err != nil {
			failed <- err
		}
	})
	wg.Go(func() {
		if err := b.admin.Serve(b.adminLn); err != nil {
			failed <- fmt.Errorf("serve operators: %w", err)
		}
	})
	wg.Go(b.sweep)
	b.workers.start()
	drained := make(chan struct{})
	wg.Go(func() {
		defer close(drained)
		<-b.drain
		if err := b.front.shutdown(context.Background()); err != nil {
			b.log.Warn("front did not shut down cleanly", zap.Error(err))
		}
		b.flights.Wait()
	})
	b.registry.start()
	sessionCtx, endSession := context.WithCancel(b.ctx)
	defer endSession()
	wg.Go(func() { b.sessions.run(sessionCtx) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	b.beginDrain()
	err = errors.Join(err, b.finishDrain(drained))

	// Nothing is in flight that needs the session.
	endSession()
	<-b.sessions.done
	b.sessions.close()

	// The admin port goes last, so that the drain can be watched.
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.admin.ShutdownWithContext(last)
	_ = b.adminLn.Close() // a server that has not begun to serve yet would not know
	b.cancel()
	b.workers.close()
	b.registry.wait()
	wg.Wait()
	b.front.serving.Wait()
	b.set.Load().access.closeUnless(nil)
	return err
}

// sweep closes idle connections to backends that have grown old.
func (b *Balancer) sweep() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			b.registry.sweep(now)
		case <-b.ctx.Done():
			return
		}
	}
}

// Reload puts another configuration in force without losing a connection: what
// is in flight ends under the settings it began with. The addresses listened on
// cannot change. After an error the old settings are in force as before.
func (b *Balancer) Reload(cfg Config) error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	old := b.set.Load()
	switch {
	case cfg.Listen != old.cfg.Listen:
		return fmt.Errorf("reload: listen cannot change from %q to %q: start the balancer again", old.cfg.Listen, cfg.Listen)
	case cfg.Admin != old.cfg.Admin:
		return fmt.Errorf("reload: admin cannot change from %q to %q: start the balancer again", old.cfg.Admin, cfg.Admin)
	case cfg.Workers != old.cfg.Workers:
		return fmt.Errorf("reload: workers cannot change from %d to %d: start the balancer again", old.cfg.Workers, cfg.Workers)
	}
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	access, err := openAccessLog(cfg, old.access)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	b.set.Store(&settings{cfg: cfg, routes: newRoutes(cfg), access: access})
	old.access.closeUnless(access)
	b.registry.reload(cfg, !sameChecks(cfg.Checks, old.cfg.Checks))
	b.front.reload(cfg.Limits)
	b.sessions.look()
	b.log.Info("settings reloaded")
	return nil
}
