package lb_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/healthcheck"
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

// answer scripts the HTTP port.
func (n *node) answer(h fasthttp.RequestHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handle = h
}

func (n *node) serve(ctx *fasthttp.RequestCtx) {
	n.hits.Add(1)
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

// startNode starts a follower of term 1.
func startNode(t testing.TB, id string) *node {
	t.Helper()
	n := &node{id: id, changed: make(chan struct{})}
	n.report.ID = id
	n.follow(1)
	done := make(chan struct{})
	h := &healthcheck.Handler{Source: n, Done: done}
	n.health = startServer(t, &fasthttp.Server{Handler: h.Serve, NoDefaultServerHeader: true}, func() { close(done) })
	n.http = startServer(t, &fasthttp.Server{Handler: n.serve, NoDefaultServerHeader: true, DisableHeaderNamesNormalizing: true}, nil)
	return n
}

// nodesTerm gives a follower another term.
func nodesTerm(term uint64) func(*healthcheck.Report) {
	return func(r *healthcheck.Report) { r.Term = term }
}
