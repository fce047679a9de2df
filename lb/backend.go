package lb

import (
	"context"
	"sync/atomic"

	"github.com/dengine/dengine/healthcheck"
)

// backend is one backend while it belongs to the balancer: its address, its
// connections and counters, and what its watcher last saw.
type backend struct {
	Backend
	pool    *pool
	bundles *bundles

	requests atomic.Uint64 // attempts
	errors   atomic.Uint64 // attempts without an answer
	busy     atomic.Int64  // requests under way
	// Reads that were answered over a connection that they shared, and that left one
	// without an answer.
	sharedReads, sharedLeft atomic.Uint64

	long     atomic.Int64 // streamed request bodies and tunnels now
	sideline sideline
	reached  atomic.Uint64 // log index that it is known to have applied
	near     atomic.Bool   // it follows the writes closely

	// What follows belongs to the registry and its lock.
	watcher *healthcheck.Watcher
	stop    context.CancelFunc
	seen    healthcheck.Observation
	suspect bool
	short   shortfall
}

// name is what logs and metrics call it.
func (be *backend) name() string {
	if be.ID != "" {
		return be.ID
	}
	return be.HTTP
}

// node is its place in a View.
func (be *backend) node() Node {
	r := be.seen.Report
	id := be.ID
	if id == "" {
		id = r.ID
	}
	return Node{
		ID: id, HTTP: be.HTTP, Health: be.Health,
		Up: be.seen.Up, Ready: r.Ready, Primary: r.Primary, Role: r.Role, Term: r.Term, Applied: r.Applied,
		Identities: r.Identities, Suspect: be.suspect,
		backend: be,
	}
}
