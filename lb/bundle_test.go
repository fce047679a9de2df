package lb_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// writers has n clients write, each one after the other, and checks that every one is
// told of its own write. Until stop, which waits for all, they go on.
func writers(t *testing.T, p *proxy, n int) (stop func()) {
	t.Helper()
	var wg sync.WaitGroup
	done := make(chan struct{})
	c := client(t)
	for i := range n {
		wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-done:
					return
				default:
				}
				path := fmt.Sprintf("/kv/w%d-%d", i, k)
				r, err := try(c, "PUT", p.url(path), strings.Repeat("x", (i*31+k*7)%2000))
				if err != nil || r.status != 200 || r.body != path {
					t.Errorf("%s: got %d %q, %v", path, r.status, r.body, err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// bundled waits until n more writes were answered in bundles.
func (p *proxy) bundled(t *testing.T, n uint64) {
	t.Helper()
	n += p.Bundled()
	eventually(t, "writes that share a connection", func() bool { return p.Bundled() >= n })
}

// all checks that every write was executed once.
func (k *keepers) all(t *testing.T) {
	t.Helper()
	k.locked(func() {
		for path, n := range k.executed {
			if n != 1 {
				t.Errorf("%s was executed %d times", path, n)
			}
		}
		if len(k.plain) > 0 {
			t.Errorf("%d writes came without a number", len(k.plain))
		}
	})
}

func TestWritesShareAConnection(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	stop := writers(t, p, 32)
	p.bundled(t, 100)
	stop()
	k.all(t)
	for _, n := range k.nodes[1:] {
		n.locked(func() {
			if len(n.bundles) > 0 {
				t.Errorf("%d bundles to %s, which follows", len(n.bundles), n.id)
			}
		})
	}
}

// A node of another version knows no bundles.
func TestWritesGoAloneWhereANodeTakesNoBundles(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	for _, n := range k.nodes {
		n.locked(func() { n.alone = true })
	}
	p := k.start(t, config(k.nodes...))
	stop := writers(t, p, 8)
	eventually(t, "many writes", func() (done bool) {
		k.locked(func() { done = len(k.executed) > 500 })
		return done
	})
	stop()
	k.all(t)
	if n := p.Bundled(); n > 0 {
		t.Errorf("%d writes in bundles", n)
	}
}

// Connections that end with many writes under way, executed or not, cost nobody an
// error, and nothing is executed twice.
func TestBundlesThatBreakDoubleNothing(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 1))
	now := func(ctx *fasthttp.RequestCtx) bool {
		mu.Lock()
		n := dice.IntN(40)
		mu.Unlock()
		return n == 0 && hangUp(ctx)
	}
	k.fail(k.nodes[0], fault{before: now, after: now})
	cfg := config(k.nodes...)
	lb.ShareHard(&cfg)
	p := k.start(t, cfg)
	stop := writers(t, p, 16)
	p.bundled(t, 300)
	stop()
	k.all(t)
	if s := p.Status().Session; s.Replays == 0 || s.InFlight != 0 {
		t.Errorf("session: %+v", s)
	}
}

// One that waits long for its decision, or gets none, holds nobody else back.
func TestSlowWriteHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if string(ctx.Path()) == "/kv/slow" {
			<-release
		}
		return false
	}})
	cfg := config(k.nodes...)
	lb.ShareHard(&cfg)
	p := k.start(t, cfg)
	stop := writers(t, p, 4)
	p.bundled(t, 1)
	slow := async(client(t), "PUT", p.url("/kv/slow"), "x")
	eventually(t, "the slow write to arrive", func() (there bool) {
		k.locked(func() { there = k.arrived["/kv/slow"] == 1 })
		return there
	})
	p.bundled(t, 300)
	close(release)
	if r := await(t, slow); r.status != 200 || r.body != "/kv/slow" {
		t.Errorf("got %+v", r)
	}
	stop()
	k.once(t, "/kv/slow", 1)
	k.all(t)
}

// An answer that comes after its write has given up is nobody else's.
func TestLateAnswerOfABundleIsNobodys(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if string(ctx.Path()) == "/kv/slow" {
			k.mu.Lock()
			first := k.arrived["/kv/slow"] == 1
			k.mu.Unlock()
			if first {
				<-release
			}
		}
		return false
	}})
	cfg := config(k.nodes...)
	cfg.HoldTimeout = 10 * time.Second // half of it is for the first sending; less is too little for the others on a busy machine
	lb.ShareHard(&cfg)
	p := k.start(t, cfg)
	stop := writers(t, p, 4)
	p.bundled(t, 1)
	if r := do(t, client(t), "PUT", p.url("/kv/slow"), "x"); r.status != 200 || r.body != "/kv/slow" {
		t.Errorf("got %+v", r)
	}
	k.once(t, "/kv/slow", 2)
	cfg.HoldTimeout = 2 * deadline // from here on nobody's write is given up
	if err := p.Reload(sameListeners(p, cfg)); err != nil {
		t.Fatal(err)
	}
	before := p.Status().Session.Doubts
	close(release)
	p.bundled(t, 100)
	stop()
	k.all(t)
	if n := p.Status().Session.Doubts; n != before {
		t.Errorf("%d writes came into doubt: the late answer cost others theirs", n-before)
	}
}

// A write that ends the bundle each time ends it once: then it goes alone.
func TestWriteThatEndsBundlesGoesAlone(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		return strings.HasPrefix(string(ctx.Path()), "/kv/poison") && edge.InBundle(ctx) && hangUp(ctx)
	}})
	cfg := config(k.nodes...)
	lb.ShareHard(&cfg)
	p := k.start(t, cfg)
	stop := writers(t, p, 4)
	c := client(t)
	for i := range 20 {
		p.bundled(t, 5)
		path := fmt.Sprint("/kv/poison", i)
		if r := do(t, c, "PUT", p.url(path), "x"); r.status != 200 || r.body != path {
			t.Errorf("got %+v", r)
		}
		k.locked(func() {
			if n := k.arrived[path]; n > 2 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
	stop()
	k.all(t)
}

// What is under way to a leader that hangs goes to the next one at once.
func TestBundleToAHungLeaderIsBrokenOff(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	release := make(chan struct{})
	defer close(release)
	cfg := config(k.nodes...)
	lb.ShareHard(&cfg)
	p := k.start(t, cfg)
	writers(t, p, 8)
	p.bundled(t, 50)
	k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool { <-release; return hangUp(ctx) }})
	eventually(t, "all to hang", func() bool { return p.Status().Session.InFlight == 8 })
	k.elect(k.nodes[1], 3)
	p.bundled(t, 50)
	k.all(t)
}

// Bundles are between the balancer and nodes: a client's request for one is a
// request like any other, and gets no connection of its own.
func TestClientsGetNoBundles(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	got := raw(t, p.Addr(), "GET /dengine/writes HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: dengine-writes\r\n\r\n"+
		"GET /kv/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Contains(got, " 101 ") || strings.Count(got, "HTTP/1.1 200") != 2 {
		t.Errorf("got %q", got)
	}
}

// A client that leaves under its write costs nobody a number: that is free again once the
// write is decided, and not before.
func TestClientLeavesUnderABundledWrite(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.window = 4
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if strings.HasPrefix(string(ctx.Path()), "/kv/slow") {
			<-release
		}
		return false
	}})
	cfg := config(k.nodes...)
	cfg.Workers = 1
	p := k.start(t, cfg)
	k.locked(func() { k.refuse = true }) // another session
	var leavers []net.Conn
	for i := range 3 {
		c := dial(t, p.Addr())
		r := bufio.NewReader(c)
		for before := p.Bundled() + p.worked(); p.Bundled()+p.worked() < before+4; { // until a worker sends its writes in a bundle
			write(t, c, plainPost(fmt.Sprintf("/kv/w%d", i)))
			if a := readAnswer(t, r, "POST"); a.status != 200 {
				t.Fatalf("%+v", a)
			}
		}
		leavers = append(leavers, c)
	}
	for i, c := range leavers {
		write(t, c, plainPost(fmt.Sprintf("/kv/slow%d", i)))
	}
	arrived := func(n int) func() bool {
		return func() (all bool) {
			k.locked(func() { all = k.arrived["/kv/slow0"]+k.arrived["/kv/slow1"]+k.arrived["/kv/slow2"] == n })
			return all
		}
	}
	eventually(t, "the slow writes to arrive", arrived(3))
	for _, c := range leavers {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	eventually(t, "the clients to be forgotten", func() bool { return p.Status().Clients.Open == 0 })
	if n := p.Status().Session.InFlight; n != 3 {
		t.Errorf("%d numbers are in use while three writes are not decided", n)
	}
	close(release)
	eventually(t, "their numbers to be free", func() bool { return p.Status().Session.InFlight == 0 })
	c := client(t)
	for i := range 20 { // many more than the window has
		if r := do(t, c, "PUT", p.url(fmt.Sprint("/kv/after", i)), "x"); r.status != 200 {
			t.Fatalf("%+v", r)
		}
	}
	if s := p.Status(); s.Session.InFlight != 0 || s.Requests.InFlight != 0 {
		t.Errorf("in flight: %+v, %+v", s.Session, s.Requests)
	}
	for i := range 3 {
		k.once(t, fmt.Sprint("/kv/slow", i), 1)
	}
}
