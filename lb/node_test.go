package lb_test

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// node is a scripted dengine node: a real health port and a real HTTP port.
type node struct {
	id     string
	http   string
	health string
	hits   atomic.Int64
	writes atomic.Int64

	mu      sync.Mutex
	report  healthcheck.Report
	changed chan struct{}
	epoch   int
	handle  fasthttp.RequestHandler
	server  *fasthttp.Server
	bundles map[string]net.Conn // the connections of bundles, by their far end
	alone   bool                // it takes no bundles
}

func (n *node) Report() healthcheck.Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.report
}

func (n *node) Changed(epoch string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if epoch != n.report.Epoch {
		done := make(chan struct{})
		close(done)
		return done
	}
	return n.changed
}

// set changes the report and tells whoever waits on /role.
func (n *node) set(change func(*healthcheck.Report)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.report)
	n.epoch++
	n.report.Epoch = n.id + "-" + strconv.Itoa(n.epoch)
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *node) lead(term uint64) {
	n.set(func(r *healthcheck.Report) {
		r.Role, r.Term, r.Primary, r.Replica, r.Following, r.Ready = healthcheck.RoleLeader, term, true, false, false, true
	})
}

func (n *node) follow(term uint64) {
	n.set(func(r *healthcheck.Report) {
		r.Role, r.Term, r.Primary, r.Replica, r.Following, r.Ready = healthcheck.RoleFollower, term, false, true, true, true
	})
}

// locked runs f under the lock.
func (n *node) locked(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// answer scripts the HTTP port.
func (n *node) answer(h fasthttp.RequestHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handle = h
}

func (n *node) serve(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/dengine/writes" && n.bundle(ctx) {
		return
	}
	n.hits.Add(1)
	ctx.SetUserValue("node", n)
	if !ctx.IsGet() && !ctx.IsHead() {
		n.writes.Add(1)
	}
	n.mu.Lock()
	h := n.handle
	n.mu.Unlock()
	ctx.Response.Header.Set("Dengine-Node", n.id)
	if h != nil {
		h(ctx)
		return
	}
	ctx.SetBodyString(n.id)
}

// bundle makes a connection one for many requests at once, where it is asked to be.
func (n *node) bundle(ctx *fasthttp.RequestCtx) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.alone || string(ctx.Request.Header.Peek("Upgrade")) != edge.BundleProtocol {
		return false
	}
	ctx.SetStatusCode(101)
	ctx.Response.Header.Set("Connection", "Upgrade")
	ctx.Response.Header.Set("Upgrade", edge.BundleProtocol)
	ctx.Hijack(func(c net.Conn) {
		n.mu.Lock()
		n.bundles[c.RemoteAddr().String()] = c.(interface{ UnsafeConn() net.Conn }).UnsafeConn() // Close of the other does nothing
		n.mu.Unlock()
		edge.NewBundle(c, n.server, nil).Run()
	})
	return true
}

// end ends the connection that a request came over, whatever else came over it. A
// connection of its own may come from where a bundle did that has ended.
func (n *node) end(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn()
	if edge.InBundle(ctx) {
		n.mu.Lock()
		c = n.bundles[ctx.RemoteAddr().String()]
		n.mu.Unlock()
	}
	_ = c.Close()
}

// startNode starts a follower of term 1.
func startNode(t testing.TB, id string) *node {
	t.Helper()
	n := &node{id: id, changed: make(chan struct{}), bundles: make(map[string]net.Conn)}
	n.report.ID = id
	n.follow(1)
	done := make(chan struct{})
	h := &healthcheck.Handler{Source: n, Done: done}
	n.health = startServer(t, &fasthttp.Server{Handler: h.Serve, NoDefaultServerHeader: true}, func() { close(done) })
	n.server = &fasthttp.Server{Handler: n.serve, NoDefaultServerHeader: true, DisableHeaderNamesNormalizing: true}
	n.http = startServer(t, n.server, nil)
	return n
}

// nodesTerm gives a follower another term.
func nodesTerm(term uint64) func(*healthcheck.Report) {
	return func(r *healthcheck.Report) { r.Term = term }
}
