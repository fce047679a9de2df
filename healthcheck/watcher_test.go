package healthcheck_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/harness"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap/zaptest"
)

const patience = time.Minute

// backend is a health port whose report a test sets.
type backend struct {
	t    *testing.T
	addr string

	mu      sync.Mutex
	report  healthcheck.Report
	changed chan struct{}
	plain   map[string]int // statuses of a service that has no /role; nil: the contract

	srv  *fasthttp.Server
	done chan struct{}
	quit chan struct{}
}

func newBackend(t *testing.T) *backend {
	b := &backend{t: t, changed: make(chan struct{}), report: healthcheck.Report{ID: "n1", Epoch: "e1", Role: healthcheck.RoleFollower}}
	b.listen(harness.FreePorts(t, 1)[0]) // nobody takes it while it is down
	t.Cleanup(b.close)
	return b
}

func (b *backend) listen(addr string) {
	b.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.addr, b.done, b.quit = ln.Addr().String(), make(chan struct{}), make(chan struct{})
	h := &healthcheck.Handler{Source: b, Done: b.quit}
	b.srv = &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		b.mu.Lock()
		plain := b.plain
		b.mu.Unlock()
		if plain == nil {
			h.Serve(ctx)
			return
		}
		status, ok := plain[string(ctx.Path())]
		if !ok {
			status = 404
		}
		ctx.SetStatusCode(status)
	}}
	go func() {
		defer close(b.done)
		if err := b.srv.Serve(ln); err != nil {
			b.t.Error(err)
		}
	}()
}

func (b *backend) close() {
	if b.srv == nil {
		return
	}
	close(b.quit)
	if err := b.srv.Shutdown(); err != nil {
		b.t.Error(err)
	}
	<-b.done
	b.srv = nil
}

func (b *backend) set(r healthcheck.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report = r
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backend) statuses(m map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plain = m
}

func (b *backend) Report() healthcheck.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report
}

func (b *backend) Changed(epoch string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch != b.report.Epoch {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	return b.changed
}

// watch runs a watcher and returns its observations.
func watch(t *testing.T, addr string, c healthcheck.Checks) <-chan healthcheck.Observation {
	t.Helper()
	seen := make(chan healthcheck.Observation, 1024)
	w := healthcheck.NewWatcher(addr, c, zaptest.NewLogger(t), func(o healthcheck.Observation) { seen <- o })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return seen
}

// until waits for an observation that fits.
func until(t *testing.T, seen <-chan healthcheck.Observation, what string, fits func(healthcheck.Observation) bool) healthcheck.Observation {
	t.Helper()
	deadline := time.After(patience)
	var last healthcheck.Observation
	for {
		select {
		case last = <-seen:
			if fits(last) {
				return last
			}
		case <-deadline:
			t.Fatalf("waited %v for %s; last seen: %+v", patience, what, last)
		}
	}
}

// longPolled watches a backend by the long poll alone: the checks beside it are so
// rare that they bring nothing. It returns after the first report.
func longPolled(t *testing.T) (*backend, <-chan healthcheck.Observation) {
	t.Helper()
	b := newBackend(t)
	c := healthcheck.DefaultChecks()
	c.Interval, c.Timeout = time.Hour, patience // the first check is the only one
	seen := watch(t, b.addr, c)
	until(t, seen, "the first report", func(o healthcheck.Observation) bool { return o.Up && o.Report.Epoch == "e1" })
	return b, seen
}

func TestRoleChangeComesByLongPoll(t *testing.T) {
	t.Parallel()
	b, seen := longPolled(t)
	for i := 2; i < 20; i++ {
		epoch := fmt.Sprint("e", i)
		b.set(healthcheck.Report{ID: "n1", Epoch: epoch, Role: healthcheck.RoleLeader, Primary: true, Term: uint64(i)})
		until(t, seen, epoch, func(o healthcheck.Observation) bool { return o.Report.Epoch == epoch && o.Report.Primary })
	}
}

// A backend that stops ends long polls with the report that they had, and may be
// back, and lead, long before the next check.
func TestStoppingBackendIsAskedAgain(t *testing.T) {
	t.Parallel()
	b, seen := longPolled(t)
	addr := b.addr
	b.close()
	b.mu.Lock()
	b.report = healthcheck.Report{ID: "n1", Epoch: "e2", Role: healthcheck.RoleLeader, Primary: true}
	b.mu.Unlock()
	b.listen(addr)
	until(t, seen, "the next run's report", func(o healthcheck.Observation) bool { return o.Report.Epoch == "e2" })
}

func TestDeadAndBack(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	seen := watch(t, b.addr, healthcheck.DefaultChecks())
	until(t, seen, "up", func(o healthcheck.Observation) bool { return o.Up })
	addr := b.addr
	b.close()
	down := until(t, seen, "down", func(o healthcheck.Observation) bool { return !o.Up })
	if down.Err == nil || down.Report.ID != "" {
		t.Errorf("%+v", down)
	}
	b.listen(addr)
	until(t, seen, "up again", func(o healthcheck.Observation) bool { return o.Up && o.Report.Epoch == "e1" })
}

// A backend that accepts and never answers is down after Fall checks, although
// its long poll stays open.
func TestHungBackendIsDown(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := healthcheck.DefaultChecks()
	c.Interval, c.Timeout = 10*time.Millisecond, 50*time.Millisecond
	seen := watch(t, ln.Addr().String(), c)
	until(t, seen, "down", func(o healthcheck.Observation) bool { return !o.Up && errors.Is(o.Err, fasthttp.ErrTimeout) })
}

func TestPollsWhatHasNoRole(t *testing.T) {
	t.Parallel()
	for _, mode := range []healthcheck.Mode{healthcheck.ModePoll, healthcheck.ModeRole} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			b.statuses(map[string]int{"/primary": 200, "/replica": 503})
			c := healthcheck.DefaultChecks()
			c.Mode, c.Interval, c.Rise, c.Fall = mode, 5*time.Millisecond, 2, 3
			seen := watch(t, b.addr, c)
			until(t, seen, "primary", func(o healthcheck.Observation) bool { return o.Up && o.Report.Primary && !o.Report.Replica })
			b.statuses(map[string]int{"/primary": 503, "/replica": 200})
			until(t, seen, "replica", func(o healthcheck.Observation) bool { return o.Up && o.Report.Replica && !o.Report.Primary })
			b.statuses(map[string]int{"/primary": 503, "/replica": 503})
			until(t, seen, "neither", func(o healthcheck.Observation) bool { return !o.Up && o.Err != nil })
			b.statuses(map[string]int{"/replica": 200})
			until(t, seen, "replica again", func(o healthcheck.Observation) bool { return o.Up && o.Report.Replica })
		})
	}
}

func TestOnePathForBoth(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.statuses(map[string]int{"/health": 204})
	c := healthcheck.DefaultChecks()
	c.Mode, c.PrimaryPath, c.ReplicaPath, c.Expect = healthcheck.ModePoll, "/health", "/health", healthcheck.Statuses{{200, 299}}
	c.Timeout = patience
	r, err := healthcheck.NewProber(b.addr, c).Poll()
	if err != nil || !r.Primary || !r.Replica || !r.Ready {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"200": "200", "200-299": "200-299", "200, 204,300-301": "200,204,300-301",
		"": "error", "99": "error", "600": "error", "300-200": "error", "2xx": "error",
	} {
		got := "error"
		if p, err := healthcheck.ParseStatuses(s); err == nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	p, err := healthcheck.ParseStatuses("200-299,404")
	if err != nil || !p.Has(200) || !p.Has(299) || !p.Has(404) || p.Has(300) || p.Has(199) {
		t.Errorf("%v, %v", p, err)
	}
}
