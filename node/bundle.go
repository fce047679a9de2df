package node

import (
	"bytes"
	"net"
	"sync"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// bundles are the connections over which balancers send many writes at once.
type bundles struct {
	mu    sync.Mutex
	open  map[*edge.Bundle]struct{}
	ended bool
}

// serveBundle makes a connection one for many requests at once. Each is served as
// if it had come by itself.
func (n *Node) serveBundle(ctx *fasthttp.RequestCtx) {
	if n.api == nil || edge.InBundle(ctx) || !ctx.IsGet() || !bytes.EqualFold(ctx.Request.Header.Peek(fasthttp.HeaderUpgrade), []byte(edge.BundleProtocol)) {
		ctx.Response.Header.Set(fasthttp.HeaderUpgrade, edge.BundleProtocol)
		n.refuse(ctx, &edge.Problem{
			Status: fasthttp.StatusUpgradeRequired, Code: "upgrade_required",
			Message: "balancers send many writes at once here: GET with Upgrade: " + edge.BundleProtocol,
		})
		return
	}
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	ctx.Response.Header.Set(fasthttp.HeaderConnection, fasthttp.HeaderUpgrade)
	ctx.Response.Header.Set(fasthttp.HeaderUpgrade, edge.BundleProtocol)
	ctx.Hijack(func(c net.Conn) { n.runBundle(edge.NewBundle(c, n.api, n.newFlock)) })
}

// runBundle serves one bundle until its end, for which Close waits.
func (n *Node) runBundle(b *edge.Bundle) {
	done := make(chan struct{})
	s := &n.bundles
	s.mu.Lock()
	if s.open == nil {
		s.open = make(map[*edge.Bundle]struct{})
	}
	s.open[b] = struct{}{}
	ended := s.ended
	s.mu.Unlock()
	if ended || !n.spawn(func() { b.Run(); close(done) }) {
		return
	}
	<-done
	s.mu.Lock()
	delete(s.open, b)
	s.mu.Unlock()
}

// close ends all bundles, each once what came over it has been answered.
func (s *bundles) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for b := range s.open {
		b.Close()
	}
}
