package lb_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// keepers are scripted nodes with one state between them, which keeps the
// identities of writes as ARCHITECTURE.md ("Exactly once") says.
type keepers struct {
	nodes []*node

	mu       sync.Mutex
	sessions map[string]*kept
	opened   []string // ids, in order
	closed   []string
	renewals []uint64       // what each acknowledged
	renewed  map[string]int // how often, by id
	refuse   bool           // open no session: there is no room
	refused  int
	window   uint64
	timeout  int // ms
	executed map[string]int
	arrived  map[string]int            // sendings that reached a node, by path
	numbers  map[string]map[string]int // by path: the identities they came under
	plain    map[string]int            // sendings without a number, by path
	faults   map[string]fault          // by node
	slowOpen chan struct{}             // where set, opening waits for it
}

// kept is one session.
type kept struct {
	acked   uint64
	answers map[uint64]string
}

// fault is what goes wrong at a node that leads, when a write arrives. Each says
// whether the answer is dealt with.
type fault struct {
	before func(*fasthttp.RequestCtx) bool
	after  func(*fasthttp.RequestCtx) bool
}

// startKeepers starts three followers. The first is made to lead in term 2.
func startKeepers(t testing.TB) *keepers {
	k := &keepers{
		nodes: cluster(t), window: 1024, timeout: 60_000,
		sessions: make(map[string]*kept), renewed: make(map[string]int), executed: make(map[string]int), arrived: make(map[string]int),
		numbers: make(map[string]map[string]int), plain: make(map[string]int), faults: make(map[string]fault),
	}
	for _, n := range k.nodes {
		n.answer(func(ctx *fasthttp.RequestCtx) { k.serve(n, ctx) })
		n.set(func(r *healthcheck.Report) { r.Identities = true })
	}
	k.nodes[0].lead(2)
	return k
}

// start runs a balancer and waits for its session.
func (k *keepers) start(t testing.TB, cfg lb.Config) *proxy {
	t.Helper()
	p := start(t, cfg)
	p.settled(t, len(k.nodes), "n1")
	p.session(t, "open")
	return p
}

func (p *proxy) session(t testing.TB, state string) {
	t.Helper()
	eventually(t, "the session to be "+state, func() bool { return p.Status().Session.State == state })
}

// fail scripts what goes wrong at a node.
func (k *keepers) fail(n *node, f fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults[n.id] = f
}

// elect makes a node lead, and the one before follow.
func (k *keepers) elect(n *node, term uint64) {
	for _, other := range k.nodes {
		if other != n && other.Report().Primary {
			other.follow(term)
		}
	}
	n.lead(term)
}

// locked runs f under the lock, to look at what happened or to change what will.
func (k *keepers) locked(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// once checks that a write was executed once, in no more sendings than that.
func (k *keepers) once(t testing.TB, path string, sendings int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := k.executed[path]; n != 1 {
		t.Errorf("%s was executed %d times", path, n)
	}
	if n := k.arrived[path]; n != sendings {
		t.Errorf("%s was sent %d times, want %d", path, n, sendings)
	}
}

func problem(ctx *fasthttp.RequestCtx, status int, code, outcome string) {
	ctx.SetStatusCode(status)
	ctx.Response.Header.Set("Dengine-Outcome", outcome)
	ctx.SetBodyString(fmt.Sprintf(`{"error":%q,"message":"m"}`, code))
}

func (k *keepers) serve(n *node, ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if ctx.IsGet() {
		ctx.SetBodyString(n.id)
		return
	}
	if !n.Report().Primary {
		problem(ctx, 503, "not_leader", "not-applied")
		return
	}
	if path == "/dengine/session" {
		k.serveSession(ctx)
		return
	}
	k.mu.Lock()
	k.arrived[path]++
	f := k.faults[n.id]
	k.mu.Unlock()
	if f.before != nil && f.before(ctx) {
		return
	}
	k.apply(ctx, path)
	if f.after != nil && f.after(ctx) {
		return
	}
}

// hangUp ends the connection without an answer.
func hangUp(ctx *fasthttp.RequestCtx) bool {
	if n, ok := ctx.UserValue("node").(*node); ok {
		n.end(ctx)
	} else {
		_ = ctx.Conn().Close()
	}
	return true
}

func (k *keepers) serveSession(ctx *fasthttp.RequestCtx) {
	k.mu.Lock()
	slow := k.slowOpen
	k.mu.Unlock()
	id := string(ctx.Request.Header.Peek("Dengine-Session"))
	if slow != nil && ctx.IsPost() {
		<-slow
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case ctx.IsPost() && id == "new" && k.refuse:
		k.refused++
		problem(ctx, 503, "identities_full", "not-applied")
	case ctx.IsPost() && id == "new":
		id = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
		k.opened, k.sessions[id] = append(k.opened, id), &kept{answers: make(map[uint64]string)}
		body, err := json.Marshal(map[string]any{"session": id, "window": k.window, "timeout_ms": k.timeout})
		if err != nil {
			panic(err)
		}
		ctx.SetBody(body)
	case ctx.IsPost():
		problem(ctx, 400, "bad_request", "not-applied")
	case k.sessions[id] == nil:
		problem(ctx, 409, "session_unknown", "unknown")
	case ctx.IsPut():
		k.renewed[id]++
		k.renewals = append(k.renewals, k.acknowledge(ctx, k.sessions[id]))
		ctx.SetBodyString("{}")
	default:
		delete(k.sessions, id)
		k.closed = append(k.closed, id)
		ctx.SetBodyString("{}")
	}
}

// acknowledge forgets what needs no answer any more; the lock is held.
func (k *keepers) acknowledge(ctx *fasthttp.RequestCtx, s *kept) uint64 {
	acked, err := strconv.ParseUint(string(ctx.Request.Header.Peek("Dengine-Acked")), 10, 64)
	if err != nil {
		panic(err) // the balancer always says
	}
	s.acked = max(s.acked, acked)
	for n := range s.answers {
		if n <= s.acked {
			delete(s.answers, n)
		}
	}
	return acked
}

// apply is the state machine.
func (k *keepers) apply(ctx *fasthttp.RequestCtx, path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := &ctx.Request.Header
	if len(h.Peek("Dengine-Session")) == 0 {
		k.plain[path]++
		k.executed[path]++
		ctx.SetBodyString(path)
		return
	}
	id, sequence := string(h.Peek("Dengine-Session")), string(h.Peek("Dengine-Sequence"))
	if k.numbers[path] == nil {
		k.numbers[path] = make(map[string]int)
	}
	k.numbers[path][id+" "+sequence]++
	s := k.sessions[id]
	if s == nil {
		problem(ctx, 409, "session_unknown", "unknown")
		return
	}
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		panic(err)
	}
	k.acknowledge(ctx, s)
	ctx.Response.Header.Set("Dengine-Sequence", sequence)
	answer, repeated := s.answers[n]
	switch {
	case n <= s.acked:
		problem(ctx, 409, "sequence_answered", "unknown")
		return
	case n > s.acked+k.window:
		problem(ctx, 409, "sequence_beyond_window", "not-applied")
		return
	case !repeated:
		answer = path
		s.answers[n] = answer
		k.executed[path]++
	}
	ctx.SetBodyString(answer)
}
