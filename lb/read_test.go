package lb_test

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

func TestReadIsRetriedOnAnotherNode(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(t *testing.T) string{
		"refused": func(t *testing.T) string {
			return harness.FreePorts(t, 1)[0]
		},
		"closes": func(t *testing.T) string {
			return rawBackend(t, func(_ net.Conn, r *bufio.Reader) { _, _, _ = readRequest(r) })
		},
		"half a body": func(t *testing.T) string {
			return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				_, _, _ = readRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			})
		},
		"hangs": func(t *testing.T) string {
			return rawBackend(t, func(_ net.Conn, r *bufio.Reader) { _, _, _ = readRequest(r); _, _ = r.ReadByte() })
		},
		"503": func(t *testing.T) string {
			return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				for {
					if _, _, err := readRequest(r); err != nil {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\n\r\n"+`{"error":"too_stale"}`)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := startNode(t, "n1"), startNode(t, "n2")
			cfg := config(good, bad)
			cfg.Backends[1].HTTP = broken(t)
			cfg.ReadAttemptTimeout = time.Second
			p := start(t, cfg)
			p.settled(t, 2, "")
			c := client(t)
			for i := range 8 {
				if r := do(t, c, "GET", p.url("/kv/a"), ""); r.status != 200 || r.body != "n1" {
					t.Fatalf("read %d: %+v", i, r)
				}
			}
		})
	}
}

// To hold nothing is not to fail over nowhere.
func TestReadFailsOverWithoutHolding(t *testing.T) {
	t.Parallel()
	n1, n2 := startNode(t, "n1"), startNode(t, "n2")
	n1.lead(1)
	n2.http = harness.FreePorts(t, 1)[0] // its checks pass, and nobody listens where requests go
	cfg := config(n1, n2)
	cfg.HoldTimeout = 0
	p := start(t, cfg)
	p.settled(t, 2, "n1")
	c := client(t)
	for i := range 20 {
		if r := do(t, c, "GET", p.url("/a"), ""); r.status != 200 || r.body != "n1" {
			t.Errorf("read %d got %+v", i, r)
		}
	}
	if s := p.Status(); s.Backends[1].Requests == 0 {
		t.Error("n2 was never tried")
	}
}

// When every node says the same, the client gets that answer, each node having
// been asked once.
func TestReadAsksEachNodeOnce(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	for _, n := range nodes {
		n.answer(func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(503)
			ctx.SetBodyString(`{"error":"too_stale"}`)
		})
	}
	p := start(t, config(nodes...))
	p.settled(t, 3, "")
	if r := do(t, client(t), "GET", p.url("/kv/a"), ""); r.status != 503 || r.code() != "too_stale" {
		t.Errorf("got %+v", r)
	}
	for _, n := range nodes {
		if n.hits.Load() != 1 {
			t.Errorf("%s was asked %d times", n.id, n.hits.Load())
		}
	}
}

func TestReadWaitsForABackend(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	for _, n := range nodes {
		n.set(func(r *healthcheck.Report) { r.Ready = false })
	}
	cfg := config(nodes...)
	cfg.HoldTimeout = 300 * time.Millisecond
	p := start(t, cfg)
	eventually(t, "the nodes to be seen", func() bool { return p.Status().Backends[0].Up })
	r := do(t, client(t), "GET", p.url("/kv/a"), "")
	if r.status != 503 || r.code() != "no_backend" || r.header.Get("Retry-After") == "" {
		t.Fatalf("got %+v", r)
	}
	cfg.HoldTimeout = 2 * deadline
	if err := p.Reload(sameListeners(p, cfg)); err != nil {
		t.Fatal(err)
	}
	answer := async(client(t), "GET", p.url("/kv/a"), "")
	eventually(t, "the read to be held", func() bool { return p.Status().Held.Now == 1 })
	nodes[2].follow(2)
	if r := await(t, answer); r.status != 200 || r.body != "n3" {
		t.Errorf("got %+v", r)
	}
}

// sameListeners is what a reloaded configuration says of the ports: the same.
func sameListeners(_ *proxy, cfg lb.Config) lb.Config {
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// A node that answers checks but hangs on requests costs those that meet it one
// attempt's time; the others pass.
func TestHungNodeDoesNotStallTheRest(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	release := make(chan struct{})
	var hung atomic.Int64
	nodes[2].answer(func(*fasthttp.RequestCtx) { hung.Add(1); <-release })
	t.Cleanup(sync.OnceFunc(func() { close(release) })) // before the servers are shut down
	cfg := config(nodes...)
	cfg.ReadAttemptTimeout = time.Second
	p := start(t, cfg)
	p.settled(t, 3, "")
	var wg sync.WaitGroup
	c := client(t)
	for range 16 {
		wg.Go(func() {
			for range 4 {
				if r, err := try(c, "GET", p.url("/kv/a"), ""); err != nil || r.status != 200 {
					t.Errorf("got %+v, %v", r, err)
				}
			}
		})
	}
	wg.Wait()
	// Those that met it side by side, and then perhaps one or another to see.
	if n := hung.Load(); n == 0 || n > 24 {
		t.Errorf("%d of 64 reads met the hung node", n)
	}
}

// A leader that hangs is for a while the only one that seems able to serve: its
// followers wait for a leader. What was sent to it then goes on to them later.
func TestReadLeavesTheOnlyReaderThatHangs(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	release := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	nodes[0].answer(func(*fasthttp.RequestCtx) { <-release })
	for _, n := range nodes[1:] {
		n.set(func(r *healthcheck.Report) { r.Ready = false })
	}
	cfg := config(nodes...)
	cfg.ReadAttemptTimeout = time.Second
	p := start(t, cfg)
	p.settled(t, 1, "")
	answer := async(client(t), "GET", p.url("/kv/a"), "")
	eventually(t, "the read to hang", func() bool { return nodes[0].hits.Load() > 0 })
	nodes[1].follow(2)
	if r := await(t, answer); r.status != 200 || r.body != "n2" {
		t.Errorf("got %+v", r)
	}
}

// A read that is slow wherever it goes ends well at the last node that it tries.
func TestSlowReadGetsItsTime(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	for _, n := range nodes {
		n.answer(func(ctx *fasthttp.RequestCtx) {
			<-time.After(4 * time.Second)
			ctx.SetBodyString("slow")
		})
	}
	cfg := config(nodes...)
	cfg.ReadAttemptTimeout, cfg.ReadTimeout = 1500*time.Millisecond, deadline
	p := start(t, cfg)
	p.settled(t, 3, "")
	if r := do(t, client(t), "GET", p.url("/kv/a"), ""); r.status != 200 || r.body != "slow" {
		t.Errorf("got %+v", r)
	}
	for _, n := range nodes {
		if n.hits.Load() != 1 {
			t.Errorf("%s was asked %d times", n.id, n.hits.Load())
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	member := func(n *node) healthcheck.Member {
		return healthcheck.Member{ID: n.id, HTTP: n.http, Health: n.health, Voter: true}
	}
	all := []healthcheck.Member{member(nodes[0]), member(nodes[1]), member(nodes[2]), {ID: "n4"}}
	nodes[0].set(func(r *healthcheck.Report) { r.Members = all })
	nodes[1].set(func(r *healthcheck.Report) { r.Members = all })
	p := start(t, config(nodes[0])) // told of a follower only
	p.settled(t, 3, "")
	nodes[1].lead(2)
	p.settled(t, 3, "n2")
	c := client(t)
	if r := do(t, c, "PUT", p.url("/kv/a"), "x"); r.body != "n2" {
		t.Fatalf("got %+v", r)
	}
	// The leader no longer reports n3; a node that lags behind still does.
	nodes[1].set(func(r *healthcheck.Report) { r.Members = all[:2] })
	p.settled(t, 2, "n2")
	for range 6 {
		if r := do(t, c, "GET", p.url("/kv/a"), ""); r.body == "n3" {
			t.Fatal("a removed member got a read")
		}
	}
	// n1 was configured: it stays even where nobody reports it.
	nodes[1].set(func(r *healthcheck.Report) { r.Members = all[1:2] })
	nodes[1].set(func(r *healthcheck.Report) { r.Applied = 7 })
	eventually(t, "the last report", func() bool {
		for _, be := range p.Status().Backends {
			if be.ID == "n2" && be.Applied == 7 {
				return true
			}
		}
		return false
	})
	p.settled(t, 2, "n2")
}

func TestForeignServiceIsPolled(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(204)
	var host atomic.Value
	health := startServer(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		host.Store(string(ctx.Host()))
		if string(ctx.Path()) == "/healthy" {
			ctx.SetStatusCode(int(status.Load()))
			return
		}
		ctx.SetStatusCode(404)
	}}, nil)
	app := startServer(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("app") }}, nil)
	cfg := config()
	cfg.Backends = []lb.Backend{{HTTP: app, Health: health}}
	cfg.Checks = healthcheck.Checks{
		Mode: healthcheck.ModePoll, PrimaryPath: "/healthy", ReplicaPath: "/healthy", Expect: healthcheck.Statuses{{204, 204}},
		Host: "checks.example", Interval: 10 * time.Millisecond, Timeout: deadline, Rise: 3, Fall: 2,
	}
	cfg.WritePolicy = lb.WriteAny
	cfg.HoldTimeout = 0
	p := start(t, cfg)
	p.settled(t, 1, app)
	c := client(t)
	if r := do(t, c, "POST", p.url("/x"), "x"); r.body != "app" {
		t.Fatalf("got %+v", r)
	}
	if host.Load() != "checks.example" {
		t.Errorf("checks went to host %v", host.Load())
	}
	status.Store(500)
	p.settled(t, 0, "")
	if r := do(t, c, "POST", p.url("/x"), "x"); r.status != 503 || r.code() != "no_backend" || r.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("got %+v", r)
	}
	status.Store(204)
	p.settled(t, 1, app)
}
