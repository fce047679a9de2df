package lb

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

// registry keeps the backends, watches them, and publishes Views.
type registry struct {
	ctx  context.Context // ends all watchers
	log  *zap.Logger
	wg   sync.WaitGroup
	view atomic.Pointer[View]

	recall func(*backend) // asks workers for connections that its pool wants back; nil: there are none

	elections atomic.Uint64 // how often the leader changed
	brokenOff atomic.Uint64 // connections of numbered writes that a new leader broke off
	calledOff atomic.Uint64 // reads that left a backend which could serve them no more
	written   written

	mu       sync.Mutex
	cfg      Config
	backends []*backend
	retired  []*backend // removed, with requests still under way
	started  bool
}

// newRegistry prepares the backends of cfg; start watches them.
func newRegistry(ctx context.Context, cfg Config, log *zap.Logger) *registry {
	g := &registry{ctx: ctx, cfg: cfg, log: log, written: written{news: make(chan struct{}, 1)}}
	for _, be := range configured(cfg) {
		g.backends = append(g.backends, g.add(be))
	}
	g.publish()
	return g
}

// start begins to watch.
func (g *registry) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = true
	for _, be := range g.backends {
		g.watch(be)
	}
	g.wg.Go(func() { g.askHowFar(g.ctx) })
}

// wait returns once every watcher has ended, and every bundle; the context must have
// ended.
func (g *registry) wait() {
	g.mu.Lock()
	for _, be := range slices.Concat(g.backends, g.retired) {
		be.bundles.close()
	}
	g.mu.Unlock()
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, be := range g.backends {
		be.pool.close()
	}
}

// configured are a configuration's own backends, health address filled in.
func configured(cfg Config) []Backend {
	out := append([]Backend(nil), cfg.Backends...)
	for i := range out {
		if out[i].Health == "" {
			out[i].Health = out[i].HTTP
		}
	}
	return out
}

func (g *registry) add(be Backend) *backend {
	p := newPool(be.HTTP, limitsOf(g.cfg))
	out := &backend{
		Backend: be, pool: p,
		bundles: &bundles{pool: p, start: g.wg.Go, log: g.log},
	}
	p.ask = func() {
		if g.recall != nil {
			g.recall(out)
		}
	}
	return out
}

func limitsOf(cfg Config) poolLimits {
	return poolLimits{
		open: cfg.UpstreamConns, idle: cfg.UpstreamIdleConns, idleFor: cfg.UpstreamIdleTimeout,
		bufferSize: cfg.Limits.HeaderBytes,
	}
}

// watch starts a watcher; the lock is held.
func (g *registry) watch(be *backend) {
	if !g.started {
		return
	}
	ctx, stop := context.WithCancel(g.ctx)
	var w *healthcheck.Watcher
	w = healthcheck.NewWatcher(be.Health, g.cfg.Checks, g.log.With(zap.String("backend", be.name())), func(o healthcheck.Observation) {
		g.observe(be, w, o)
	})
	be.watcher, be.stop = w, stop
	g.wg.Go(func() { w.Run(ctx) })
}

// unwatch ends a backend's watcher; the lock is held.
func (g *registry) unwatch(be *backend) {
	if be.stop != nil {
		be.stop()
	}
	be.watcher = nil
}

// observe takes one observation. Watchers call it; it must not wait for one.
func (g *registry) observe(be *backend, from *healthcheck.Watcher, o healthcheck.Observation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if be.watcher != from {
		return // it watches no more
	}
	g.progress(be, o)
	be.seen, be.suspect = o, false
	g.forget()
	if g.cfg.Discover && g.cfg.Checks.Mode == healthcheck.ModeRole && len(o.Report.Members) > 0 {
		g.reconcile()
	}
	g.publish()
}

// reconcile adds and removes backends; the lock is held.
func (g *registry) reconcile() {
	var current []Backend
	var seen []sighting
	for _, be := range g.backends {
		current = append(current, be.Backend)
		if be.seen.Up {
			seen = append(seen, sighting{be.Backend, be.seen.Report})
		}
	}
	g.apply(roster(configured(g.cfg), current, seen))
}

// apply makes want the backends, keeping those that stay; the lock is held.
func (g *registry) apply(want []Backend) {
	var next []*backend
	for _, w := range want {
		var keep *backend
		for _, be := range g.backends {
			if be.Backend == w || (be.HTTP == w.HTTP && be.Health == w.Health && w.ID == "") {
				keep = be
			}
		}
		if keep == nil {
			keep = g.add(w)
			g.watch(keep)
			g.log.Info("backend added", zap.String("backend", keep.name()), zap.String("http", w.HTTP), zap.String("health", w.Health))
		}
		next = append(next, keep)
	}
	for _, be := range g.backends {
		if slices.Contains(next, be) {
			continue
		}
		g.log.Info("backend removed", zap.String("backend", be.name()), zap.String("http", be.HTTP))
		g.unwatch(be)
		be.pool.close()
		be.bundles.close()
		g.retired = append(g.retired, be)
	}
	g.backends = next
}

// reload takes a new configuration, and watches anew where checks differ.
func (g *registry) reload(cfg Config, checksDiffer bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cfg = cfg
	want := configured(cfg)
	if cfg.Discover && cfg.Checks.Mode == healthcheck.ModeRole {
		var seen []sighting
		for _, be := range g.backends {
			seen = append(seen, sighting{be.Backend, be.seen.Report})
		}
		want = roster(want, nil, seen)
	}
	g.apply(want)
	for _, be := range g.backends {
		be.pool.configure(limitsOf(cfg))
		if checksDiffer {
			g.unwatch(be)
			g.watch(be)
		}
	}
	g.publish()
}

// abort breaks every connection to every backend, removed ones included.
func (g *registry) abort() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, be := range append(append([]*backend(nil), g.backends...), g.retired...) {
		be.pool.abort()
	}
}

// sweep closes connections that grew old and forgets removed backends that
// nothing uses any more.
func (g *registry) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, be := range g.backends {
		be.pool.sweep(now)
	}
	g.retired = slices.DeleteFunc(g.retired, func(be *backend) bool { return be.pool.size() == 0 })
}

// all are the backends now.
func (g *registry) all() []*backend {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*backend(nil), g.backends...)
}
