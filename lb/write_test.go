package lb_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/valyala/fasthttp"
)

func cluster(t testing.TB) []*node {
	return []*node{startNode(t, "n1"), startNode(t, "n2"), startNode(t, "n3")}
}

func TestWritesGoToTheLeaderReadsToAll(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[1].lead(2)
	p := start(t, config(nodes...))
	p.settled(t, 3, "n2")
	c := client(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
		if r := do(t, c, method, p.url("/kv/a"), "x"); r.status != 200 || r.body != "n2" {
			t.Errorf("%s: got %d %q, want the leader's answer", method, r.status, r.body)
		}
	}
	for _, request := range []string{"GET /kv/a", "HEAD /kv/a", "OPTIONS /kv/a", "GET /kv/a?consistency=linearizable"} {
		method, path, _ := strings.Cut(request, " ")
		seen := map[string]bool{}
		for range 6 {
			seen[do(t, c, method, p.url(path), "").header.Get("Dengine-Node")] = true
		}
		if len(seen) != 3 {
			t.Errorf("%s: only %v of three nodes served it", request, seen)
		}
	}
}

func TestHigherTermLeads(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[0].lead(4)
	nodes[2].lead(5)
	p := start(t, config(nodes...))
	p.settled(t, 2, "n3") // n1 has been deposed: what it reads may be old
	if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.body != "n3" {
		t.Errorf("the write went to %q", r.body)
	}
}

// A leader that hangs never says that it leads no more.
func TestLeaderOfAnOlderTermGetsNoWrites(t *testing.T) {
	t.Parallel()
	nodes := []*node{startNode(t, "n1"), startNode(t, "n2")}
	nodes[0].lead(4)
	cfg := config(nodes...)
	cfg.HoldTimeout = 200 * time.Millisecond
	p := start(t, cfg)
	p.settled(t, 2, "n1")
	nodes[1].lead(5)
	p.settled(t, 1, "n2")
	nodes[1].follow(5)
	p.settled(t, 1, "")
	if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 503 || r.code() != "no_leader" {
		t.Errorf("got %+v", r)
	}
	if n := nodes[0].writes.Load(); n != 0 {
		t.Errorf("the leader of term 4 got %d writes", n)
	}
}

func TestHeldWriteGoesOutWithTheNewLeader(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	p := start(t, config(nodes...))
	p.settled(t, 3, "")
	answer := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	nodes[1].lead(2)
	if r := await(t, answer); r.status != 200 || r.body != "n2" {
		t.Fatalf("got %d %q", r.status, r.body)
	}
	if s := p.Status(); s.Held.Total != 1 || s.Held.Now != 0 || s.Held.Bytes != 0 {
		t.Errorf("held: %+v", s.Held)
	}
}

func TestHeldWriteOfAClientThatLeftIsNotSent(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	p := start(t, config(nodes...))
	p.settled(t, 3, "")
	for name, leave := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { _ = c.Close() },
		// Bytes of a next request make peeking at the socket blind.
		"pipelined": func(c net.Conn) { write(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); _ = c.Close() },
	} {
		dropped := p.Status().Held.Dropped
		conn := dial(t, p.Addr())
		write(t, conn, "PUT /kv/"+name+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
		leave(conn)
		eventually(t, "the write to be dropped", func() bool { return p.Status().Held.Dropped == dropped+1 })
	}
	// Left and new leader at the same moment: the last look decides.
	conn := dial(t, p.Addr())
	write(t, conn, "PUT /kv/last HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	_ = conn.Close()
	nodes[0].lead(2)
	eventually(t, "the write to be dropped", func() bool { return p.Status().Held.Dropped == 3 })
	if r := do(t, client(t), "PUT", p.url("/kv/b"), "x"); r.body != "n1" {
		t.Fatalf("got %q", r.body)
	}
	if n := nodes[0].writes.Load(); n != 1 {
		t.Errorf("the leader saw %d writes, want only the one whose client stayed", n)
	}
}

func TestHoldEndsIn503(t *testing.T) {
	t.Parallel()
	cfg := config(cluster(t)...)
	cfg.HoldTimeout = 150 * time.Millisecond
	p := start(t, cfg)
	p.settled(t, 3, "")
	r := do(t, client(t), "PUT", p.url("/kv/a"), "x")
	if r.status != 503 || r.code() != "no_leader" || r.header.Get("Retry-After") != "1" || r.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("got %+v", r)
	}
}

func TestHoldBudget(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]struct{ requests, bytes int }{
		"requests": {1, 1 << 20},
		"bytes":    {10, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := cluster(t)
			cfg := config(nodes...)
			cfg.HoldRequests, cfg.HoldBytes = limit.requests, limit.bytes
			p := start(t, cfg)
			p.settled(t, 3, "")
			first := async(client(t), "PUT", p.url("/kv/a"), "x")
			eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
			r := do(t, client(t), "PUT", p.url("/kv/b"), strings.Repeat("x", 200))
			if r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" || r.header.Get("Dengine-Outcome") != "not-applied" {
				t.Errorf("the second got %+v", r)
			}
			nodes[2].lead(2)
			if r := await(t, first); r.status != 200 {
				t.Errorf("the first got %+v", r)
			}
		})
	}
}

func TestNotAppliedIsSentAgain(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[0].lead(2)
	nodes[1].set(nodesTerm(2))
	refuse := func(hint string) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set("Dengine-Outcome", "not-applied")
			ctx.SetStatusCode(503)
			ctx.SetBodyString(`{"error":"not_leader","message":"m"` + hint + `}`)
		}
	}
	p := start(t, config(nodes...))
	p.settled(t, 3, "n1")

	// With a hint the write goes where it points, though that node has not said
	// yet that it leads.
	nodes[0].answer(refuse(`,"leader":{"id":"n2","http":"` + nodes[1].http + `"}`))
	if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 200 || r.body != "n2" {
		t.Fatalf("with a hint: %+v", r)
	}
	// Two that point at each other end with the hold, not in a storm.
	nodes[1].answer(refuse(`,"leader":{"id":"n1","http":"` + nodes[0].http + `"}`))
	before := nodes[0].hits.Load() + nodes[1].hits.Load()
	answer := async(client(t), "PUT", p.url("/kv/b"), "x")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	nodes[0].follow(3)
	nodes[2].lead(3)
	if r := await(t, answer); r.status != 200 || r.body != "n3" {
		t.Fatalf("after a hold: %+v", r)
	}
	if n := nodes[0].hits.Load() + nodes[1].hits.Load() - before; n > 100 {
		t.Errorf("%d attempts on nodes that refuse", n)
	}
}

// What was refused is not sent on where its client has left meanwhile.
func TestRefusedWriteOfAClientThatLeftIsNotSentOn(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[0].lead(2)
	nodes[1].set(nodesTerm(2))
	p := start(t, config(nodes...))
	p.settled(t, 3, "n1")
	gone := make(chan struct{})
	nodes[0].answer(func(ctx *fasthttp.RequestCtx) {
		<-gone
		ctx.Response.Header.Set("Dengine-Outcome", "not-applied")
		ctx.SetStatusCode(503)
		ctx.SetBodyString(`{"error":"not_leader","message":"m","leader":{"id":"n2","http":"` + nodes[1].http + `"}}`)
	})
	conn := dial(t, p.Addr())
	write(t, conn, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the write to arrive", func() bool { return nodes[0].writes.Load() == 1 })
	_ = conn.Close()
	close(gone)
	eventually(t, "its end", func() bool { return p.Status().Requests.InFlight == 0 })
	if n := nodes[1].writes.Load(); n != 0 {
		t.Errorf("the node that was pointed to got %d writes", n)
	}
}

// A write whose request was read is sent once, whatever happens then.
func TestSentWriteIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  string // what the backend says before it closes
		status int
		code   string
		hang   bool
	}{
		"closes":        {"", 502, "upstream_broken", false},
		"half a head":   {"HTTP/1.1 200 OK\r\nConte", 502, "upstream_broken", false},
		"half a body":   {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 502, "upstream_broken", false},
		"no HTTP":       {"SSH-2.0-OpenSSH_9\r\n\r\n", 502, "upstream_broken", false},
		"two lengths":   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, "upstream_broken", false},
		"both framings": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "upstream_broken", false},
		"folded":        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", 502, "upstream_broken", false},
		"unasked 101":   {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502, "upstream_broken", false},
		"never answers": {"", 504, "upstream_timeout", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var executed atomic.Int64
			addr := rawBackend(t, func(conn net.Conn, r *bufio.Reader) {
				if _, _, err := readRequest(r); err != nil {
					return
				}
				executed.Add(1)
				_, _ = io.WriteString(conn, c.after)
				if c.hang {
					_, _ = r.ReadByte()
				}
			})
			cfg := foreign(t, addr)
			if c.hang {
				cfg.UpstreamTimeout = 2 * time.Second
			}
			p := start(t, cfg)
			p.settled(t, 1, addr)
			r := do(t, client(t), "PUT", p.url("/a"), "x")
			if r.status != c.status || r.code() != c.code || r.header.Get("Dengine-Outcome") != "unknown" {
				t.Errorf("got %+v", r)
			}
			if n := executed.Load(); n != 1 {
				t.Errorf("executed %d times", n)
			}
		})
	}
}

// A backend that closed its idle connections has not refused the next write.
func TestStaleConnectionDoesNotFailAWrite(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 100)
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if _, _, err := readRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = c.Close() // though it said nothing of closing
		closed <- struct{}{}
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	c := client(t)
	for i := range 20 {
		r := do(t, c, "PUT", p.url("/a"), "x")
		if r.status != 200 {
			t.Fatalf("write %d: %+v", i, r)
		}
		<-closed
	}
}

func TestRefusedConnectionIsHeldNotFailed(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[0].lead(2)
	cfg := config(nodes...)
	cfg.Backends[0].HTTP = harness.FreePorts(t, 1)[0] // leads, but nobody listens
	p := start(t, cfg)
	p.settled(t, 3, "n1")
	answer := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Total > 0 })
	nodes[1].lead(3)
	if r := await(t, answer); r.status != 200 || r.body != "n2" {
		t.Errorf("got %+v", r)
	}
}

func TestForeign503IsPassedOn(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	n.answer(func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Del("Dengine-Node")
		ctx.SetStatusCode(503)
		ctx.SetBodyString("later")
	})
	p := start(t, config(n))
	p.settled(t, 1, "n1")
	if r := do(t, client(t), "PUT", p.url("/a"), "x"); r.status != 503 || r.body != "later" || n.hits.Load() != 1 {
		t.Errorf("got %+v after %d attempts", r, n.hits.Load())
	}
	n.answer(func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("Dengine-Outcome", "unknown")
		ctx.SetStatusCode(504)
		ctx.SetBodyString(`{"error":"outcome_unknown"}`)
	})
	if r := do(t, client(t), "PUT", p.url("/a"), "x"); r.status != 504 || r.header.Get("Dengine-Outcome") != "unknown" || r.code() != "outcome_unknown" {
		t.Errorf("got %+v", r)
	}
}
