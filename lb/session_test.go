package lb_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

func TestWritesAreNumbered(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	c := client(t)
	// What a client says of identities is not the balancer's word.
	r := do(t, c, "PUT", p.url("/kv/a"), "x", "Dengine-Session", strings.Repeat("0", 32), "Dengine-Sequence", "7", "Dengine-Acked", "3")
	if r.status != 200 || r.body != "/kv/a" {
		t.Fatalf("got %+v", r)
	}
	for name := range r.header {
		if strings.EqualFold(name, "Dengine-Sequence") || strings.EqualFold(name, "Dengine-Session") {
			t.Errorf("the client was told %s", name)
		}
	}
	do(t, c, "POST", p.url("/kv/b"), strings.Repeat("x", 100_000))
	do(t, c, "DELETE", p.url("/kv/c"), "")
	k.locked(func() {
		for path, want := range map[string]string{"/kv/a": " 1", "/kv/b": " 2", "/kv/c": " 3"} {
			if k.numbers[path][k.opened[0]+want] != 1 {
				t.Errorf("%s came under %v", path, k.numbers[path])
			}
		}
	})
	if s := p.Status().Session; s.State != "open" || s.InFlight != 0 || s.Replays != 0 || s.Doubts != 0 {
		t.Errorf("session: %+v", s)
	}
}

// A client must not close or renew the balancer's session with the balancer's name.
func TestClientsHaveNoSessions(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	p := k.start(t, config(k.nodes...))
	for _, method := range []string{"DELETE", "PUT", "POST"} {
		r := do(t, client(t), method, p.url("/dengine/session"), "", "Dengine-Session", "new")
		if r.status == 200 {
			t.Errorf("%s: %+v", method, r)
		}
	}
	k.locked(func() {
		if len(k.closed) != 0 || len(k.opened) != 1 || len(k.renewals) != 0 {
			t.Errorf("opened %d, closed %d, renewed %d", len(k.opened), len(k.closed), len(k.renewals))
		}
	})
}

func TestIdleSessionIsRenewedAndClosed(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.timeout = 90 })
	p := k.start(t, config(k.nodes...))
	do(t, client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "renewals", func() (done bool) {
		k.locked(func() { done = len(k.renewals) >= 3 && k.renewals[len(k.renewals)-1] == 1 })
		return done
	})
	p.stop()
	p.ended(t)
	eventually(t, "the session to be closed", func() (done bool) { // it does not wait long for the answer
		k.locked(func() { done = len(k.closed) == 1 })
		return done
	})
	k.locked(func() {
		if len(k.opened) != 1 || k.closed[0] != k.opened[0] {
			t.Errorf("opened %d", len(k.opened))
		}
	})
	// One that starts anew has another session.
	again := k.start(t, config(k.nodes...))
	do(t, client(t), "PUT", again.url("/kv/a"), "x")
	k.locked(func() {
		if len(k.opened) != 2 || k.opened[0] == k.opened[1] || k.numbers["/kv/a"][k.opened[1]+" 1"] != 1 {
			t.Errorf("opened %d, the write came under %v", len(k.opened), k.numbers["/kv/a"])
		}
	})
}

func TestWriteWaitsForTheSession(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	slow := make(chan struct{})
	k.locked(func() { k.slowOpen = slow })
	cfg := config(k.nodes...)
	lb.Patient(&cfg, deadline)
	p := start(t, cfg)
	p.settled(t, 3, "n1")
	p.session(t, "opening")
	answer := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the write to arrive", func() bool { return p.Status().Requests.InFlight == 1 })
	close(slow)
	if r := await(t, answer); r.status != 200 {
		t.Fatalf("got %+v", r)
	}
	k.locked(func() {
		if len(k.numbers["/kv/a"]) != 1 {
			t.Error("it went without a number")
		}
	})
}

// But not for long.
func TestWriteGoesWithoutASession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*keepers)
		state  string
	}{
		"slow":        {func(k *keepers) { k.slowOpen = make(chan struct{}) }, "opening"},
		"full":        {func(k *keepers) { k.refuse = true }, "refused"},
		"none is had": {func(k *keepers) { k.nodes[0].set(func(r *healthcheck.Report) { r.Identities = false }) }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			k.locked(func() {
				if c.change(k); k.slowOpen != nil {
					slow := k.slowOpen
					t.Cleanup(func() { close(slow) })
				}
			})
			cfg := config(k.nodes...)
			cfg.HoldTimeout = time.Hour
			p := start(t, cfg)
			p.settled(t, 3, "n1")
			p.session(t, c.state)
			for range 3 {
				if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 200 {
					t.Fatalf("got %+v", r)
				}
			}
			if s := p.Status().Session; s.State != c.state {
				t.Errorf("session: %+v", s)
			}
			k.locked(func() {
				if k.plain["/kv/a"] != 3 {
					t.Errorf("%d came without a number, others under %v", k.plain["/kv/a"], k.numbers["/kv/a"])
				}
			})
		})
	}
}

func TestIdentitiesCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	cfg := config(k.nodes...)
	p := k.start(t, cfg)
	write := func(path string) {
		t.Helper()
		if r := do(t, client(t), "PUT", p.url(path), "x"); r.status != 200 {
			t.Fatalf("got %+v", r)
		}
	}
	cfg.Identities = false
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.session(t, "off")
	write("/kv/off")
	cfg.Identities = true
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.session(t, "open")
	write("/kv/on")
	k.locked(func() {
		if k.plain["/kv/off"] != 1 || len(k.numbers["/kv/on"]) != 1 || len(k.opened) != 2 {
			t.Errorf("off: %d plain; on: %v; %d opened", k.plain["/kv/off"], k.numbers["/kv/on"], len(k.opened))
		}
	})
}

// A write of a session that has expired was not executed. It moves to the next
// one, but only where no sending before is in doubt.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	expire := func(k *keepers) { k.locked(func() { clear(k.sessions) }) }
	t.Run("never in doubt", func(t *testing.T) {
		t.Parallel()
		k := startKeepers(t)
		cfg := config(k.nodes...)
		lb.Patient(&cfg, deadline)
		p := k.start(t, cfg)
		expire(k)
		if r := do(t, client(t), "PUT", p.url("/kv/a"), "x"); r.status != 200 || r.body != "/kv/a" {
			t.Fatalf("got %+v", r)
		}
		k.once(t, "/kv/a", 2)
		k.locked(func() {
			if len(k.opened) != 2 || k.numbers["/kv/a"][k.opened[0]+" 1"] != 1 || k.numbers["/kv/a"][k.opened[1]+" 1"] != 1 {
				t.Errorf("opened %d; it came under %v", len(k.opened), k.numbers["/kv/a"])
			}
		})
	})
	t.Run("in doubt", func(t *testing.T) {
		t.Parallel()
		k := startKeepers(t)
		p := k.start(t, config(k.nodes...))
		k.fail(k.nodes[0], fault{after: func(ctx *fasthttp.RequestCtx) bool {
			expire(k)
			k.elect(k.nodes[1], 3)
			return hangUp(ctx)
		}})
		r := do(t, client(t), "PUT", p.url("/kv/a"), "x")
		if r.status != 504 || r.header.Get("Dengine-Outcome") != "unknown" || r.code() != "outcome_unknown" {
			t.Errorf("got %+v", r)
		}
		k.once(t, "/kv/a", 2)
		eventually(t, "another session", func() bool { return p.Status().Session.State == "open" })
	})
	t.Run("while idle", func(t *testing.T) {
		t.Parallel()
		k := startKeepers(t)
		k.locked(func() { k.timeout = 90 })
		p := k.start(t, config(k.nodes...))
		expire(k)
		eventually(t, "another session", func() (done bool) {
			k.locked(func() { done = len(k.opened) == 2 })
			return done && p.Status().Session.State == "open"
		})
	})
}

// A write that finds no number free waits for one; it was never sent.
func TestWindowIsFull(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.window = 2 })
	cfg := config(k.nodes...)
	hold := func(p *proxy, d time.Duration) {
		t.Helper()
		cfg.HoldTimeout = d
		if err := p.Reload(sameListeners(p, cfg)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.ConnectTimeout = 200 * time.Millisecond // nobody's patience ends but the third's
	p := k.start(t, cfg)
	k.locked(func() { k.refuse = true }) // another session
	began := time.Now()
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{after: func(*fasthttp.RequestCtx) bool { <-release; return true }})
	first, second := async(client(t), "PUT", p.url("/kv/1"), "x"), async(client(t), "PUT", p.url("/kv/2"), "x")
	eventually(t, "both to be in flight", func() bool { return p.Status().Session.InFlight == 2 })
	hold(p, 200*time.Millisecond)
	r := do(t, client(t), "PUT", p.url("/kv/3"), "x")
	hold(p, 2*deadline)
	if r.status != 503 || r.code() != "overloaded" || r.header.Get("Dengine-Outcome") != "not-applied" || r.header.Get("Retry-After") == "" {
		t.Errorf("the third got %+v", r)
	}
	gone := dial(t, p.Addr())
	write(t, gone, "PUT /kv/4 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the fourth to wait", func() bool { return p.Status().Session.Waits == 2 })
	_ = gone.Close()
	eventually(t, "its end", func() bool { return p.Status().Requests.InFlight == 2 })
	fifth := async(client(t), "PUT", p.url("/kv/5"), "x")
	eventually(t, "the fifth to wait", func() bool { return p.Status().Session.Waits == 3 })
	close(release)
	for i, ch := range []<-chan reply{first, second, fifth} {
		if r := await(t, ch); r.status != 200 {
			t.Errorf("%d: %+v", i, r)
		}
	}
	k.locked(func() {
		if k.arrived["/kv/3"]+k.arrived["/kv/4"] != 0 {
			t.Error("a write without a number was sent")
		}
	})
	if s := p.Status().Session; s.InFlight != 0 {
		t.Errorf("%d numbers are in use", s.InFlight)
	}
	k.locked(func() {
		if most := 1 + int(time.Since(began)/(5*time.Second)); k.refused > most || k.refused == 0 {
			t.Errorf("another session was refused %d times, want 1 to %d", k.refused, most)
		}
	})
}

// Where the numbers of a session do not do, another is opened: what one of them knows not of
// is no other's concern, and in the end all are given back.
func TestNumbersRunOut(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.window = 2 })
	p := k.start(t, config(k.nodes...))
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if strings.HasPrefix(string(ctx.Path()), "/kv/slow") {
			<-release
		}
		return false
	}})
	var slow []<-chan reply
	for i := range 7 { // the numbers of three sessions, and one of a fourth
		slow = append(slow, async(client(t), "PUT", p.url(fmt.Sprint("/kv/slow", i)), "x"))
	}
	eventually(t, "all to be in flight", func() bool { return p.Status().Session.InFlight == 7 })
	put := func(path string) {
		t.Helper()
		if r := do(t, client(t), "PUT", p.url(path), "x"); r.status != 200 {
			t.Fatalf("%s: %+v", path, r)
		}
	}
	put("/kv/a")
	k.locked(func() {
		k.refuse = true // any more
		for id := range k.sessions {
			if k.numbers["/kv/a"][id+" 2"] == 1 {
				delete(k.sessions, id)
				return
			}
		}
		t.Errorf("of %d sessions none has a second number for it: %v", len(k.opened), k.numbers["/kv/a"])
	})
	close(release)
	answered := 0
	for _, ch := range slow {
		if r := await(t, ch); r.status == 200 {
			answered++
		}
	}
	k.locked(func() {
		executed := 0
		for i := range slow {
			executed += k.executed[fmt.Sprint("/kv/slow", i)]
		}
		if executed != 7 || answered != 7 { // the one of the session that was lost went on in another
			t.Errorf("of 7 writes %d were answered, and %d executed", answered, executed)
		}
	})
	put("/kv/b")
	if s := p.Status().Session; s.State != "open" || s.Open != 3 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	p.stop()
	p.ended(t)
	eventually(t, "the others to be closed", func() (done bool) {
		k.locked(func() { done = len(k.closed) == 3 })
		return done
	})
}

// All sessions are renewed, no more of them are opened than there is need of, and where all
// are lost, one takes their place.
func TestSessionsAreKept(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.window, k.timeout = 1, 90 })
	p := k.start(t, config(k.nodes...))
	release := make(chan struct{})
	k.fail(k.nodes[0], fault{before: func(*fasthttp.RequestCtx) bool { <-release; return false }})
	first, second := async(client(t), "PUT", p.url("/kv/1"), "x"), async(client(t), "PUT", p.url("/kv/2"), "x")
	eventually(t, "both to be in flight", func() bool { return p.Status().Session.InFlight == 2 })
	eventually(t, "renewals of both sessions", func() (done bool) {
		k.locked(func() { done = len(k.opened) == 2 && k.renewed[k.opened[0]] >= 3 && k.renewed[k.opened[1]] >= 3 })
		return done
	})
	close(release)
	for _, ch := range []<-chan reply{first, second} {
		if r := await(t, ch); r.status != 200 {
			t.Errorf("got %+v", r)
		}
	}
	k.locked(func() {
		if len(k.opened) != 2 {
			t.Errorf("%d sessions for two numbers", len(k.opened))
		}
		clear(k.sessions)
	})
	eventually(t, "one session instead of two", func() (done bool) {
		k.locked(func() { done = len(k.opened) >= 3 })
		s := p.Status().Session
		return done && s.State == "open" && s.Open == 1
	})
	if r := do(t, client(t), "PUT", p.url("/kv/3"), "x"); r.status != 200 {
		t.Errorf("got %+v", r)
	}
}

// A write that is refused for the moment waits without its number: the window
// must not stand still for it.
func TestRefusedWriteGivesItsNumberBack(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	k.locked(func() { k.window = 8 })
	p := k.start(t, config(k.nodes...))
	var refused atomic.Int64
	var open atomic.Bool
	k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
		if string(ctx.Path()) != "/kv/refused" || open.Load() {
			return false
		}
		refused.Add(1)
		problem(ctx, 503, "overloaded", "not-applied")
		return true
	}})
	answer := async(client(t), "PUT", p.url("/kv/refused"), "x")
	eventually(t, "the refusal", func() bool { return refused.Load() > 0 })
	for i := range 20 { // none waits until the refused one gives up: its client would not see that
		if r := do(t, client(t), "PUT", p.url(fmt.Sprintf("/kv/%d", i)), "x"); r.status != 200 {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	open.Store(true)
	if r := await(t, answer); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	k.locked(func() {
		if k.executed["/kv/refused"] != 1 || k.plain["/kv/refused"] != 0 {
			t.Errorf("executed %d times, %d without a number", k.executed["/kv/refused"], k.plain["/kv/refused"])
		}
	})
}
