package node_test

import (
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
	"github.com/valyala/fasthttp"
)

// A hit of an eventual read allocates nothing: not in the state machine, and not in
// the HTTP API around it. (Nothing runs beside this test.)
func TestEventualHitAllocatesNothing(t *testing.T) {
	if harness.Race {
		t.Skip("with the race detector pools drop some of what they are given")
	}
	c := startCluster(t, 1)
	key := strings.Repeat("key", 100)
	value := strings.Repeat("value", 50)
	if w := c.do("PUT", c.api(0, "/kv/"+key), value); w.status != 200 {
		t.Fatalf("%+v", w)
	}
	n := c.nodes[0]
	if got := allocs(func() {
		v, err := n.Get(t.Context(), []byte(key), node.ReadOptions{Level: node.Eventual})
		if err != nil || string(v.Value) != value {
			t.Fatalf("%+v, %v", v, err)
		}
	}); got > 1 { // the key, which is made here
		t.Errorf("Get: %v allocations", got)
	}
	for _, accept := range []string{"", "application/octet-stream"} {
		var req fasthttp.Request
		req.SetRequestURI("/kv/" + key + "?consistency=eventual")
		req.Header.Set("Accept", accept)
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		if got := allocs(func() {
			ctx.Response.Reset()
			n.Serve(&ctx)
			if ctx.Response.StatusCode() != 200 || !strings.Contains(string(ctx.Response.Body()), value) {
				t.Fatalf("%s", &ctx.Response)
			}
		}); got > 1 { // the body as a string
			t.Errorf("GET, Accept %q: %v allocations", accept, got)
		}
	}
}

// allocs is how often f allocates, of what other goroutines do as little as can be.
func allocs(f func()) float64 {
	least := testing.AllocsPerRun(200, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(200, f))
	}
	return least
}
