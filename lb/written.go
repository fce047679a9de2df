package lb

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

const (
	// wipedAfter is how long all backends must report less than was written before
	// the service counts as begun anew.
	wipedAfter = time.Second
	// newsEvery is how often backends are asked at most how far they are.
	newsEvery = 20 * time.Millisecond
)

// written is the highest log index of a write whose answer went to a client. Reads
// that must see the clients' own writes carry it.
type written struct {
	index atomic.Uint64
	news  chan struct{} // it was raised
}

// raise makes a at least n, and says whether it was less.
func raise(a *atomic.Uint64, n uint64) bool {
	for old := a.Load(); old < n; old = a.Load() {
		if a.CompareAndSwap(old, n) {
			return true
		}
	}
	return false
}

// noteIndex learns from an answer how far its backend is, and from a write's what
// reads must see from now on. It must come before the client has any of the answer.
func (b *Balancer) noteIndex(set *settings, be *backend, c class, a *answer) {
	if !set.cfg.ReadYourWrites || !a.dengine {
		return
	}
	raise(&be.reached, a.index)
	if c == classWrite && raise(&b.registry.written.index, a.index) {
		select {
		case b.registry.written.news <- struct{}{}:
		default:
		}
	}
}

// seeWrites makes a read wait for what was written, where the settings say so.
func (b *Balancer) seeWrites(x *exchange) {
	if x.class == classRead && x.set.cfg.ReadYourWrites {
		x.minIndex, x.raised = x.hw.require(b.registry.written.index.Load())
	}
}

// askHowFar asks for reports of those backends that are not known to be as far as
// the last write, whenever there was one: they all are a moment after it, and reads
// would go only to the leader until the next check tells. While writes follow each
// other closely no report is ever up to date, and so one that is hardly older than
// two rounds counts as near. It ends with ctx.
func (g *registry) askHowFar(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var last, before uint64 // the index at the last two rounds
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-g.written.news:
		case <-ctx.Done():
			return
		}
		pause.Reset(newsEvery)
		now := g.written.index.Load()
		for _, be := range g.all() {
			reached := be.reached.Load()
			be.near.Store(before > 0 && reached >= before)
			if reached < now {
				g.poke(be)
			}
		}
		last, before = now, last
	}
}

// shortfall says that a backend reports a commit index below the written one.
type shortfall struct {
	index uint64    // the written one; 0: there is no shortfall
	since time.Time // of the first such report
	lasts bool      // one that came wipedAfter later says the same
}

// progress takes what an observation says of how far a backend is, compared with
// the one before; the lock is held.
func (g *registry) progress(be *backend, o healthcheck.Observation) {
	if o.Up && !be.seen.Up {
		be.reached.Store(0) // it may have started anew, with less than it had
		be.near.Store(false)
	}
	raise(&be.reached, o.Report.Applied)

	kept, now := g.written.index.Load(), time.Now()
	switch {
	case kept == 0 || !o.Up || o.Report.Commit >= kept:
		be.short = shortfall{}
	case be.short.index != kept:
		be.short = shortfall{index: kept, since: now}
	case now.Sub(be.short.since) >= wipedAfter:
		be.short.lasts = true
	}
}

// forget drops the written index where the service has begun anew: no backend
// that is up has come as far for a while, and one of them leads, which by Raft's
// rules has every write that was ever acknowledged (Raft, section 5.4). Without it
// reads would wait for an index that may not come for days. The lock is held.
func (g *registry) forget() {
	kept, leads := g.written.index.Load(), false
	if kept == 0 {
		return
	}
	for _, be := range g.backends {
		if !be.seen.Up {
			continue
		}
		if be.short.index != kept || !be.short.lasts {
			return
		}
		leads = leads || be.seen.Report.Primary && be.seen.Report.Identities
	}
	if !leads || !g.written.index.CompareAndSwap(kept, 0) {
		return
	}
	for _, be := range g.backends {
		be.reached.Store(be.seen.Report.Applied)
		be.short = shortfall{}
	}
	g.log.Warn("the service has begun anew: no backend has the writes that were acknowledged, and reads wait for them no longer",
		zap.Uint64("index", kept))
}
