package lb_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// reads scripts what a node does with reads.
func (k *keepers) reads(n *node, h fasthttp.RequestHandler) {
	n.answer(func(ctx *fasthttp.RequestCtx) {
		if ctx.IsGet() || string(ctx.Path()) == "/kv/get" {
			h(ctx)
			return
		}
		k.serve(n, ctx)
	})
}

// unready makes a node say that it cannot serve: it has lost its leader.
func unready(n *node) {
	n.set(func(r *healthcheck.Report) { r.Primary, r.Replica, r.Following, r.Ready = false, false, false, false })
}

// gate is what reads wait at.
type gate struct {
	waiting atomic.Int64
	open    chan struct{}
	release func()
}

func newGate(t testing.TB) *gate {
	g := &gate{open: make(chan struct{})}
	g.release = sync.OnceFunc(func() { close(g.open) })
	t.Cleanup(g.release)
	return g
}

func (g *gate) wait() { g.waiting.Add(1); <-g.open }

// patient is a configuration in which no attempt of a read ends with its time.
func patient(nodes ...*node) lb.Config {
	cfg := config(nodes...)
	cfg.ReadAttemptTimeout, cfg.ReadTimeout, cfg.UpstreamTimeout = time.Hour, time.Hour, time.Hour
	return cfg
}

// A read that waits at a node which can serve it no more goes on to one that can,
// long before its time is over.
func TestReadLeavesANodeThatCannotServeIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sick    int
		happens func(*keepers)
	}{
		"a follower that is cut off": {1, func(k *keepers) { unready(k.nodes[1]) }},
		"a leader that is cut off":   {0, func(k *keepers) { unready(k.nodes[0]) }},
		"a leader that hangs":        {0, func(k *keepers) { k.nodes[2].lead(3) }}, // and n1 says as before that it leads
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, g := startKeepers(t), newGate(t)
			sick := k.nodes[c.sick]
			k.reads(sick, func(*fasthttp.RequestCtx) { g.wait() })
			p := k.start(t, patient(k.nodes...))
			var answers []<-chan reply
			for range 9 {
				answers = append(answers, async(client(t), "GET", p.url("/kv/a"), ""))
			}
			eventually(t, "a third of them to wait", func() bool { return g.waiting.Load() == 3 })
			c.happens(k)
			for _, ch := range answers {
				if r := await(t, ch); r.status != 200 || r.body == sick.id || r.body == "" {
					t.Errorf("got %+v", r)
				}
			}
			for range 6 {
				if r := do(t, client(t), "GET", p.url("/kv/a"), ""); r.status != 200 {
					t.Errorf("afterwards: %+v", r)
				}
			}
			if n := g.waiting.Load(); n != 3 {
				t.Errorf("%d reads met the node", n)
			}
			if n := p.Status().Requests.ReadsCalledOff; n != 3 {
				t.Errorf("%d were called off", n)
			}
		})
	}
}

// Where nobody else could serve it, a read is best off where it is; and a service
// that is no dengine node may finish what it began, as one does that is drained.
func TestReadStaysWhereItIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dengine bool
		nodes   int
		sick    int // those that cannot serve any more
	}{
		"nobody is ready":  {true, 1, 1}, // of several, one would be the last of them for a moment
		"foreign services": {false, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, g := cluster(t)[:c.nodes], newGate(t)
			for _, n := range nodes {
				n.set(func(r *healthcheck.Report) { r.Identities = c.dengine })
				n.answer(func(ctx *fasthttp.RequestCtx) { g.wait(); ctx.SetBodyString(n.id) })
			}
			p := start(t, patient(nodes...))
			p.settled(t, c.nodes, "")
			var answers []<-chan reply
			for range 3 {
				answers = append(answers, async(client(t), "GET", p.url("/kv/a"), ""))
			}
			eventually(t, "all to wait", func() bool { return g.waiting.Load() == 3 })
			for _, n := range nodes[:c.sick] {
				unready(n)
			}
			p.settled(t, c.nodes-c.sick, "")
			began := time.Now()
			eventually(t, "some looks", func() bool { return time.Since(began) > 400*time.Millisecond })
			g.release()
			for _, ch := range answers {
				if r := await(t, ch); r.status != 200 {
					t.Errorf("got %+v", r)
				}
			}
			if n := p.Status().Requests.ReadsCalledOff; n != 0 || g.waiting.Load() != 3 {
				t.Errorf("%d were called off, %d attempts", n, g.waiting.Load())
			}
		})
	}
}

// A read that waited for an election longer than an attempt may take is no sign of
// a sick node: after it reads go round all nodes as before.
func TestElectionPutsNobodyAside(t *testing.T) {
	t.Parallel()
	k, g := startKeepers(t), newGate(t)
	var after [3]atomic.Int64
	for i, n := range k.nodes {
		k.reads(n, func(ctx *fasthttp.RequestCtx) {
			if i == 1 {
				g.wait()
			}
			after[i].Add(1)
			ctx.SetBodyString(n.id)
		})
	}
	cfg := config(k.nodes...)
	cfg.ReadAttemptTimeout = 5 * time.Second // longer than it takes to hear that nobody can serve
	p := k.start(t, cfg)
	var answers []<-chan reply
	for range 3 {
		answers = append(answers, async(client(t), "GET", p.url("/kv/a"), ""))
	}
	eventually(t, "one read to wait for a leader, and the others to be answered", func() bool {
		return g.waiting.Load() == 1 && after[0].Load() == 1 && after[2].Load() == 1
	})
	unready(k.nodes[0])
	unready(k.nodes[2])
	p.settled(t, 1, "") // the read stays where the last reader was
	unready(k.nodes[1])
	eventually(t, "its attempt to end", func() bool { return p.Status().Held.Now == 1 })
	g.release()
	k.nodes[0].follow(3)
	k.nodes[2].follow(3)
	k.nodes[1].lead(3)
	for _, ch := range answers {
		if r := await(t, ch); r.status != 200 {
			t.Errorf("got %+v", r)
		}
	}
	p.settled(t, 3, "n2")
	eventually(t, "also the attempt that was left to end", func() bool { return after[0].Load()+after[1].Load()+after[2].Load() == 4 })
	for i := range after {
		after[i].Store(0)
	}
	c := client(t)
	for range 12 {
		do(t, c, "GET", p.url("/kv/a"), "")
	}
	for i := range after {
		if n := after[i].Load(); n != 4 {
			t.Errorf("n%d got %d of 12 reads", i+1, n)
		}
	}
}

// What a node says with its 503 counts, also where it comes in two pieces.
func TestRefusalThatComesInPiecesIsUnderstood(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.set(func(r *healthcheck.Report) { r.Identities = true })
	var asked atomic.Int64
	cfg := config(n)
	cfg.Backends[0].HTTP = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			if _, _, err := readRequest(r); err != nil {
				return
			}
			if asked.Add(1) > 1 {
				_, _ = io.WriteString(c, okAnswer)
				continue
			}
			_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nDengine-Node: n1\r\nContent-Length: 21\r\n\r\n")
			<-time.After(250 * time.Millisecond) // a look and more
			_, _ = io.WriteString(c, `{"error":"no_leader"}`)
		}
	})
	p := start(t, cfg)
	p.settled(t, 1, "")
	if r := do(t, client(t), "GET", p.url("/kv/a"), ""); r.status != 200 || asked.Load() != 2 {
		t.Errorf("got %+v after %d attempts", r, asked.Load())
	}
}

// Several keys are asked for with a POST, which is a read all the same: it goes to
// all nodes, again where a node was lost, and waits for one.
func TestMultiGetIsARead(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	body := strings.Repeat("k", 20_000)
	var whole atomic.Int64
	var lost atomic.Bool
	for _, n := range k.nodes {
		k.reads(n, func(ctx *fasthttp.RequestCtx) {
			if string(ctx.PostBody()) == body && len(ctx.Request.Header.Peek("Dengine-Session")) == 0 {
				whole.Add(1)
			}
			if lost.CompareAndSwap(false, true) {
				hangUp(ctx)
				return
			}
			ctx.SetBodyString(n.id)
		})
	}
	p := k.start(t, config(k.nodes...))
	c := client(t)
	seen := make(map[string]bool)
	for range 9 {
		r := do(t, c, "POST", p.url("/kv/get?consistency=eventual"), body)
		if r.status != 200 {
			t.Errorf("got %+v", r)
		}
		seen[r.body] = true
	}
	if len(seen) != 3 || whole.Load() != 10 {
		t.Errorf("%v answered; %d of 10 sendings were whole and without a number", seen, whole.Load())
	}
	if s := p.Status(); s.Requests.Reads != 9 || s.Requests.Writes != 0 || s.Session.Doubts != 0 {
		t.Errorf("%+v, %+v", s.Requests, s.Session)
	}
	for _, n := range k.nodes {
		unready(n)
	}
	p.settled(t, 0, "")
	answer := async(c, "POST", p.url("/kv/get"), body)
	eventually(t, "it to be held", func() bool { return p.Status().Held.Now == 1 })
	k.nodes[2].follow(2)
	if r := await(t, answer); r.status != 200 || r.body != "n3" {
		t.Errorf("held: %+v", r)
	}
}

// To another service the same request may be a write.
func TestMultiGetOfAForeignServiceIsAWrite(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[1].lead(2)
	p := start(t, config(nodes...))
	p.settled(t, 3, "n2")
	c := client(t)
	for range 6 {
		if r := do(t, c, "POST", p.url("/kv/get"), "x"); r.body != "n2" {
			t.Errorf("got %+v", r)
		}
	}
	nodes[1].answer(func(ctx *fasthttp.RequestCtx) { hangUp(ctx) })
	r := do(t, c, "POST", p.url("/kv/get"), "x")
	if r.status != 502 || r.header.Get("Dengine-Outcome") != "unknown" || nodes[1].hits.Load() != 7 {
		t.Errorf("got %+v after %d sendings", r, nodes[1].hits.Load())
	}
}
