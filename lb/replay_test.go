package lb_test

import (
	"fmt"
	"io"
	"math/rand/v2"
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

// A leader that dies with a write, executed or not, costs its client nothing:
// the next leader gets it under the same number.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]func(func(*fasthttp.RequestCtx) bool) fault{
		"executed":     func(f func(*fasthttp.RequestCtx) bool) fault { return fault{after: f} },
		"not executed": func(f func(*fasthttp.RequestCtx) bool) fault { return fault{before: f} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			p := k.start(t, config(k.nodes...))
			k.fail(k.nodes[0], when(func(ctx *fasthttp.RequestCtx) bool {
				k.elect(k.nodes[1], 3)
				return hangUp(ctx)
			}))
			r := do(t, client(t), "PUT", p.url("/kv/a"), strings.Repeat("x", 20_000))
			if r.status != 200 || r.body != "/kv/a" || r.header.Get("Dengine-Sequence") != "" || r.header.Get("Dengine-Outcome") != "" {
				t.Errorf("got %+v", r)
			}
			k.once(t, "/kv/a", 2)
			if s := p.Status(); s.Session.Doubts != 1 || s.Session.Replays == 0 || s.Session.InFlight != 0 || s.Requests.WritesInDoubt != 0 {
				t.Errorf("%+v, %d answered as unknown", s.Session, s.Requests.WritesInDoubt)
			}
		})
	}
}

// A leader that says that it cannot tell is asked again too, or its successor.
func TestUnknownOutcomeIsAskedForAgain(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	var times atomic.Int64
	k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
		if times.Add(1) == 1 {
			ctx.Response.Header.Del("Dengine-Sequence")
			problem(ctx, 504, "outcome_unknown", "unknown")
		}
		return true
	}})
	if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 200 || r.body != "/kv/a" {
		t.Errorf("got %+v", r)
	}
	k.once(t, "/kv/a", 2)
}

// A leader that hangs is left as soon as there is another: no timeout runs out.
func TestNewLeaderBreaksOffWhatHangs(t *testing.T) {
	t.Parallel()
	for name, executed := range map[string]bool{"executed": true, "not executed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			var hung atomic.Int64
			hang := func(*fasthttp.RequestCtx) bool { hung.Add(1); <-release; return true }
			if executed {
				k.fail(k.nodes[0], fault{after: hang})
			} else {
				k.fail(k.nodes[0], fault{before: hang})
			}
			cfg := config(k.nodes...)
			cfg.UpstreamTimeout, cfg.ShareReads = 10*deadline, lb.ShareNever // each on a connection of its own
			p := k.start(t, cfg)
			var answers []<-chan reply
			for i := range 20 {
				answers = append(answers, async(client(t), "PUT", p.url(fmt.Sprintf("/kv/%d", i)), "x"))
			}
			eventually(t, "the writes to hang", func() bool { return hung.Load() == 20 })
			k.nodes[1].lead(3) // n1 goes on saying that it leads in term 2
			for i, ch := range answers {
				if r := await(t, ch); r.status != 200 {
					t.Errorf("got %+v", r)
				}
				k.once(t, fmt.Sprintf("/kv/%d", i), 2)
			}
			if s := p.Status().Session; s.BrokenOff != 20 || s.Doubts != 20 || s.InFlight != 0 {
				t.Errorf("session: %+v", s)
			}
		})
	}
}

// The hold time is for waiting, and a write that hangs at a leader does not wait
// for one until that leader is lost.
func TestHoldTimeBeginsWithTheDoubt(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	var began atomic.Int64
	k.fail(k.nodes[0], fault{before: func(*fasthttp.RequestCtx) bool { began.Store(time.Now().UnixNano()); <-release; return true }})
	cfg := config(k.nodes...)
	cfg.HoldTimeout = 6 * time.Second // the first sending has half of it
	p := k.start(t, cfg)
	answer := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the hold time to be over", func() bool {
		at := began.Load()
		return at > 0 && time.Since(time.Unix(0, at)) > 2*cfg.HoldTimeout
	})
	k.nodes[1].lead(3)
	if r := await(t, answer); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	k.once(t, "/kv/a", 3) // once more to the leader that hangs, while there was time
}

// Only what can be asked for again is broken off, and only by another leader.
func TestBreakingOffSparesTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*lb.Config)
		method string
		elect  func(*keepers)
	}{
		"without a number":   {func(cfg *lb.Config) { cfg.Identities = false }, "PUT", func(k *keepers) { k.nodes[1].lead(3) }},
		"streamed":           {func(cfg *lb.Config) { cfg.BufferBody = 0 }, "PUT", func(k *keepers) { k.nodes[1].lead(3) }},
		"the same leader":    {func(*lb.Config) {}, "PUT", func(k *keepers) { k.nodes[0].lead(3) }},
		"no leader for once": {func(*lb.Config) {}, "PUT", func(k *keepers) { k.nodes[0].follow(3); k.nodes[0].lead(4) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			release := make(chan struct{})
			var hung atomic.Int64
			k.fail(k.nodes[0], fault{before: func(*fasthttp.RequestCtx) bool { hung.Add(1); <-release; return false }})
			cfg := config(k.nodes...)
			c.change(&cfg)
			p := start(t, cfg)
			p.settled(t, 3, "n1")
			if cfg.Identities {
				p.session(t, "open")
			}
			answer := async(client(t), c.method, p.url("/kv/a"), "x")
			eventually(t, "the write to hang", func() bool { return hung.Load() == 1 })
			c.elect(k)
			eventually(t, "the election to be seen", func() bool { return p.Status().Term > 2 })
			close(release)
			if r := await(t, answer); r.status != 200 || r.body != "/kv/a" {
				t.Errorf("got %+v", r)
			}
			k.once(t, "/kv/a", 1)
			if s := p.Status().Session; s.BrokenOff != 0 || s.Doubts != 0 {
				t.Errorf("session: %+v", s)
			}
		})
	}
}

// Whatever was lost without a number, or towards a backend that keeps none, is
// sent once.
func TestDoubtWithoutANumberIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config  func(*lb.Config)
		cluster func(*keepers)
	}{
		"switched off": {func(cfg *lb.Config) { cfg.Identities = false }, func(*keepers) {}},
		"streamed":     {func(cfg *lb.Config) { cfg.BufferBody = 1 }, func(*keepers) {}},
		"not kept": {func(*lb.Config) {}, func(k *keepers) {
			for _, n := range k.nodes {
				n.set(func(r *healthcheck.Report) { r.Identities = false })
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			c.cluster(k)
			cfg := config(k.nodes...)
			c.config(&cfg)
			p := start(t, cfg)
			p.settled(t, 3, "n1")
			k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
				k.elect(k.nodes[1], 3)
				return hangUp(ctx)
			}})
			r := do(t, client(t), "PUT", p.url("/kv/a"), "xyz")
			if r.status != 502 || r.code() != "upstream_broken" || r.header.Get("Dengine-Outcome") != "unknown" {
				t.Errorf("got %+v", r)
			}
			k.once(t, "/kv/a", 1)
			k.locked(func() {
				if k.plain["/kv/a"] != 1 {
					t.Errorf("it came under %v", k.numbers["/kv/a"])
				}
			})
		})
	}
}

// A write in doubt waits for a leader that keeps identities: another one would
// execute it once more.
func TestDoubtGoesOnlyToAKeeper(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.nodes[1].set(func(r *healthcheck.Report) { r.Identities = false })
	p := k.start(t, config(k.nodes...))
	k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
		k.elect(k.nodes[1], 3)
		return hangUp(ctx)
	}})
	answer := async(client(t), "PUT", p.url("/kv/a"), "x")
	p.settled(t, 3, "n2")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	if r := do(t, client(t), "PUT", p.url("/kv/b"), "x"); r.status != 200 {
		t.Errorf("a write that is not in doubt got %+v", r)
	}
	k.elect(k.nodes[2], 4)
	if r := await(t, answer); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	k.once(t, "/kv/a", 2)
	k.locked(func() {
		if k.plain["/kv/b"] != 1 {
			t.Error("a backend that keeps no identities was sent one")
		}
	})
}

// Once in doubt, a write is never answered as not applied, whatever the nodes
// that it meets afterwards say of their own part in it.
func TestDoubtEndsAsUnknown(t *testing.T) {
	t.Parallel()
	refusing := func(code string) func(ctx *fasthttp.RequestCtx) bool {
		return func(ctx *fasthttp.RequestCtx) bool { problem(ctx, 503, code, "not-applied"); return true }
	}
	for name, c := range map[string]struct {
		next   func(*keepers) // what n2 does to it, if it is to lead
		status int
		code   string
	}{
		"no leader":  {nil, 504, "outcome_unknown"},
		"overloaded": {func(k *keepers) { k.fail(k.nodes[1], fault{before: refusing("overloaded")}) }, 504, "outcome_unknown"},
		"not leader": {func(k *keepers) { k.fail(k.nodes[1], fault{before: refusing("not_leader")}) }, 504, "outcome_unknown"},
		"dies as well": {func(k *keepers) {
			k.fail(k.nodes[1], fault{before: func(ctx *fasthttp.RequestCtx) bool { k.nodes[1].follow(4); return hangUp(ctx) }})
		}, 504, "outcome_unknown"},
		"speaks of no number": {func(k *keepers) {
			k.fail(k.nodes[1], fault{after: func(ctx *fasthttp.RequestCtx) bool { ctx.Response.Header.Del("Dengine-Sequence"); return true }})
		}, 200, ""},
		"refuses for good": {func(k *keepers) {
			k.fail(k.nodes[1], fault{before: func(ctx *fasthttp.RequestCtx) bool { problem(ctx, 413, "body_too_large", "not-applied"); return true }})
		}, 413, "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			cfg := config(k.nodes...)
			if c.status == 504 { // it waits until the end
				cfg.HoldTimeout = 2 * time.Second
			}
			p := k.start(t, cfg)
			k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
				k.nodes[0].follow(3)
				if c.next != nil {
					c.next(k)
					k.nodes[1].lead(3)
				}
				return hangUp(ctx)
			}})
			r := do(t, client(t), "PUT", p.url("/kv/a"), "x")
			if r.status != c.status || r.code() != c.code && r.status != 200 || len(r.header.Values("Dengine-Outcome")) != 1 || r.header.Get("Dengine-Outcome") != "unknown" {
				t.Errorf("got %+v", r)
			}
			if s := p.Status().Session; s.InFlight != 0 || s.Doubts != 1 {
				t.Errorf("session: %+v", s)
			}
		})
	}
}

// A refusal on the way does not end the doubt, nor the waiting.
func TestDoubtOutlastsRefusals(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	var refused atomic.Int64
	k.fail(k.nodes[1], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if refused.Add(1) > 3 {
			return false
		}
		problem(ctx, 503, "overloaded", "not-applied")
		return true
	}})
	k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
		k.elect(k.nodes[1], 3)
		return hangUp(ctx)
	}})
	if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 200 || r.header.Get("Dengine-Outcome") != "" {
		t.Errorf("got %+v", r)
	}
	k.once(t, "/kv/a", 5)
}

// A client that leaves while its write waits to be sent again is not served, and
// its number is free.
func TestLeavingEndsADoubt(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		k.nodes[0].follow(3)
		return hangUp(ctx)
	}})
	conn := dial(t, p.Addr())
	write(t, conn, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the write to be held", func() bool { s := p.Status(); return s.Held.Now == 1 && s.Session.Doubts == 1 && s.Leader == "" })
	_ = conn.Close()
	k.elect(k.nodes[1], 4) // at the same moment: the last look decides
	eventually(t, "its end", func() bool { s := p.Status(); return s.Session.InFlight == 0 && s.Held.Dropped == 1 })
	k.locked(func() {
		if k.arrived["/kv/a"] != 1 || k.executed["/kv/a"] != 0 {
			t.Errorf("it was sent %d times", k.arrived["/kv/a"])
		}
	})
}

// Half closed is as good as left; but who listens hears the truth.
func TestHalfClosedClientInDoubtIsToldTheTruth(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		k.nodes[0].follow(3)
		return hangUp(ctx)
	}})
	conn := dial(t, p.Addr())
	write(t, conn, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the write to be held", func() bool { s := p.Status(); return s.Held.Now == 1 && s.Session.Doubts == 1 })
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 504") || !strings.Contains(string(got), "Dengine-Outcome: unknown") {
		t.Errorf("got %q, %v", got, err)
	}
}

// Writes of many clients, and leaders that are lost in every way one after the
// other: each write is answered, and executed once.
func TestEveryWriteIsExecutedOnce(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.window = 4 }) // a narrow one, so that it is part of the game
	p := k.start(t, config(k.nodes...))
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	kinds := []func(*fasthttp.RequestCtx) bool{
		hangUp,
		func(*fasthttp.RequestCtx) bool { <-release; return true },
		func(ctx *fasthttp.RequestCtx) bool {
			ctx.Response.Header.Del("Dengine-Sequence")
			problem(ctx, 504, "outcome_unknown", "unknown")
			return true
		},
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for term, lead := uint64(3), 0; ; term++ {
			select {
			case <-tick.C:
			case <-stop:
				for _, n := range k.nodes {
					k.fail(n, fault{})
				}
				k.elect(k.nodes[0], term)
				return
			}
			kind := kinds[rand.IntN(len(kinds))]
			k.fail(k.nodes[lead], []fault{{before: kind}, {after: kind}}[rand.IntN(2)])
			old := k.nodes[lead]
			lead = (lead + 1 + rand.IntN(2)) % 3
			k.fail(k.nodes[lead], fault{})
			k.nodes[lead].lead(term)
			if rand.IntN(2) == 0 {
				old.follow(term)
			}
		}
	})
	const clients, each = 32, 25
	var writers sync.WaitGroup
	for w := range clients {
		c := client(t)
		writers.Go(func() {
			for i := range each {
				path := fmt.Sprintf("/kv/%d-%d", w, i)
				if r, err := try(c, "PUT", p.url(path), "x"); err != nil || r.status != 200 || r.body != path {
					t.Errorf("%s: %+v, %v", path, r, err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	wg.Wait()
	k.locked(func() {
		for w := range clients {
			for i := range each {
				if n := k.executed[fmt.Sprintf("/kv/%d-%d", w, i)]; n != 1 {
					t.Errorf("/kv/%d-%d was executed %d times", w, i, n)
				}
			}
		}
	})
	s := p.Status()
	if s.Session.InFlight != 0 || s.Session.Replays == 0 || s.Session.BrokenOff == 0 {
		t.Errorf("session: %+v", s.Session)
	}
	t.Logf("%+v", s.Session)
}

// One sending that is lost without a trace costs neither its client an error nor
// others theirs.
func TestLostSendingIsSentAgain(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	cfg := config(k.nodes...)
	cfg.UpstreamTimeout, cfg.HoldTimeout = 9*time.Second, 3*time.Second // as the defaults are: 30 s and 10 s
	p := k.start(t, cfg)
	k.locked(func() { k.refuse = true }) // another session: the others have the numbers beside the lost one's
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	var hung atomic.Int64
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if string(ctx.Path()) == "/kv/lost" && hung.Add(1) == 1 {
			<-release
			return true
		}
		return false
	}})
	lost := async(client(t), "PUT", p.url("/kv/lost"), "x")
	eventually(t, "it to hang", func() bool { return hung.Load() > 0 })
	c := client(t)
	for i := range 1200 {
		if r := do(t, c, "PUT", p.url(fmt.Sprintf("/kv/%d", i)), "x"); r.status != 200 {
			t.Errorf("write %d: %+v", i, r)
			break
		}
	}
	if r := await(t, lost); r.status != 200 {
		t.Errorf("the lost one got %+v", r)
	}
}
