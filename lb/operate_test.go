package lb_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/lb"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/valyala/fasthttp"
)

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	release := make(chan struct{})
	for _, n := range nodes {
		n.answer(func(ctx *fasthttp.RequestCtx) { <-release; ctx.SetBodyString("late") })
	}
	cfg := config(nodes...)
	cfg.DrainTimeout = 2 * deadline
	p := start(t, cfg)
	p.settled(t, 3, "")
	addr := p.Addr()
	dial(t, addr)
	read := async(client(t), "GET", p.url("/kv/a"), "")
	held := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "both in flight", func() bool { s := p.Status(); return s.Held.Now == 1 && s.Requests.InFlight == 2 })
	p.stop()
	refused(t, addr)
	if r := do(t, client(t), "GET", "http://"+p.AdminAddr()+"/readyz", ""); r.status != 503 {
		t.Errorf("readyz while draining: %+v", r)
	}
	nodes[0].lead(2)
	close(release)
	for _, ch := range []<-chan reply{read, held} {
		if r := await(t, ch); r.status != 200 || r.body != "late" {
			t.Errorf("got %+v", r)
		}
	}
	<-p.done // the idle connection holds nothing up
	if p.err != nil {
		t.Errorf("Run: %v", p.err)
	}
}

func TestDrainHasAnEnd(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	cfg := config(nodes...)
	cfg.DrainTimeout = 200 * time.Millisecond
	p := start(t, cfg)
	p.settled(t, 3, "")
	held := async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	hang := make(chan struct{})
	for _, n := range nodes {
		n.answer(func(*fasthttp.RequestCtx) { <-hang })
	}
	t.Cleanup(func() { close(hang) })
	hung := async(client(t), "GET", p.url("/kv/a"), "")
	eventually(t, "the read to be in flight", func() bool { return p.Status().Requests.InFlight == 2 })
	p.stop()
	if r := await(t, held); r.status != 503 || r.code() != "no_leader" {
		t.Errorf("the held write got %+v", r)
	}
	await(t, hung)
	<-p.done
	if !errors.Is(p.err, lb.ErrDrain) {
		t.Errorf("Run: %v", p.err)
	}
}

func TestDrainByAdminPort(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	p := start(t, config(n))
	p.settled(t, 1, "n1")
	admin := "http://" + p.AdminAddr()
	c := client(t)
	if r := do(t, c, "GET", admin+"/drain", ""); r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET /drain: %+v", r)
	}
	if r := do(t, c, "POST", admin+"/drain", "", "Origin", "http://evil"); r.status != 403 || r.code() != "forbidden" {
		t.Errorf("POST /drain by a browser: %+v", r)
	}
	if r := do(t, c, "GET", admin+"/readyz", ""); r.status != 200 {
		t.Errorf("readyz before: %+v", r)
	}
	if r := do(t, c, "POST", admin+"/drain", ""); r.status != 202 {
		t.Errorf("POST /drain: %+v", r)
	}
	if r := do(t, c, "GET", admin+"/readyz", ""); r.status != 503 || r.code() != "not_ready" {
		t.Errorf("readyz after: %+v", r)
	}
	refused(t, p.Addr())
	if r := do(t, c, "GET", admin+"/livez", ""); r.status != 200 {
		t.Errorf("livez: %+v", r)
	}
}

func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	for _, n := range nodes {
		n.lead(1)
	}
	cfg := config(nodes[0])
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	conn := dial(t, p.Addr())
	r := bufio.NewReader(conn)
	ask := func() string {
		write(t, conn, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.Header.Get("Dengine-Node")
	}
	if got := ask(); got != "n1" {
		t.Fatalf("before: %q", got)
	}
	next := config(nodes[1])
	next.Limits.HeaderBytes = 2048
	next.Checks.Interval = 20 * time.Millisecond
	if err := p.Reload(next); err != nil {
		t.Fatal(err)
	}
	p.settled(t, 1, "n2")
	if got := ask(); got != "n2" {
		t.Errorf("after, on the same connection: %q", got)
	}
	if got := raw(t, p.Addr(), "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 3000)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("the new limit is not in force for new connections: %q", got)
	}

	for name, change := range map[string]func(*lb.Config){
		"listen": func(c *lb.Config) { c.Listen = "127.0.0.1:1" },
		"admin":  func(c *lb.Config) { c.Admin = "127.0.0.1:1" },
		"fall":   func(c *lb.Config) { c.Checks.Fall = 0 },
		"open":   func(c *lb.Config) { c.AccessLog = filepath.Join(t.TempDir(), "no", "such") },
	} {
		bad := config(nodes[2])
		change(&bad)
		if err := p.Reload(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := ask(); got != "n2" {
		t.Errorf("after refused reloads: %q", got)
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	n.answer(func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/bad" {
			ctx.SetStatusCode(500)
		}
		ctx.SetBodyString("12345")
	})
	cfg := config(n)
	path := filepath.Join(t.TempDir(), "access.log")
	cfg.AccessLog, cfg.AccessLogSample = path, 3
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	c := client(t)
	for range 6 {
		do(t, c, "PUT", p.url("/kv/a?x=1"), "x")
	}
	do(t, c, "GET", p.url("/bad"), "")
	var lines [][]byte
	eventually(t, "three lines", func() bool {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		return len(lines) == 3
	})
	var line struct {
		Time, Client, Method, Path, Class, Backend string
		Status, Bytes, Attempts                    int
		Duration, Held                             float64
	}
	if err := json.Unmarshal(lines[0], &line); err != nil {
		t.Fatalf("%s: %v", lines[0], err)
	}
	if line.Method != "PUT" || line.Path != "/kv/a" || line.Status != 200 || line.Bytes != 5 || line.Backend != "n1" ||
		line.Attempts != 1 || line.Class != "write" || line.Duration <= 0 || !strings.HasPrefix(line.Client, "127.0.0.1:") || line.Time == "" {
		t.Errorf("got %s", lines[0])
	}
	if !bytes.Contains(lines[2], []byte(`"status":500`)) {
		t.Errorf("the failed one is not logged: %s", lines[2])
	}
	// A file that was moved away is made anew by a reload.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	do(t, c, "GET", p.url("/bad"), "")
	eventually(t, "a line in the new file", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && bytes.Contains(b, []byte("/bad"))
	})
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	nodes := cluster(t)
	nodes[0].lead(7)
	cfg := config(nodes...)
	cfg.Version = "v1.2.3"
	p := start(t, cfg)
	p.settled(t, 3, "n1")
	c := client(t)
	do(t, c, "PUT", p.url("/kv/a"), "x")
	do(t, c, "GET", p.url("/kv/a"), "")
	admin := "http://" + p.AdminAddr()
	var s lb.Status
	if err := json.Unmarshal([]byte(do(t, c, "GET", admin+"/status", "").body), &s); err != nil {
		t.Fatal(err)
	}
	if s.Version != "v1.2.3" || s.Leader != "n1" || s.Term != 7 || len(s.Backends) != 3 || s.Requests.Reads != 1 || s.Requests.Writes != 1 || s.Since.IsZero() {
		t.Errorf("got %+v", s)
	}
	if be := s.Backends[0]; be.ID != "n1" || !be.Leader || !be.Up || !be.Ready || be.Role != "leader" || be.Term != 7 || be.Requests == 0 {
		t.Errorf("n1: %+v", be)
	}
	r := do(t, c, "GET", admin+"/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(r.body))
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	for _, name := range []string{"dengine_lb_requests_total", "dengine_lb_held_requests", "dengine_lb_backend_up", "dengine_lb_request_duration_seconds", "dengine_lb_retries_total",
		"go_goroutines", "go_gc_heap_live_bytes", "process_open_fds", "process_resident_memory_bytes"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if !strings.Contains(r.body, `dengine_lb_requests_total{class="write",code="2xx"} 1`) || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("metrics: %s %q", r.header, r.body)
	}
	if r := do(t, c, "GET", admin+"/nothing", ""); r.status != 404 || r.code() != "not_found" {
		t.Errorf("unknown path: %+v", r)
	}
	if r := do(t, c, "POST", admin+"/status", ""); r.status != 405 || r.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v", r)
	}
	nodes[0].follow(8)
	p.settled(t, 3, "")
	if r := do(t, c, "GET", admin+"/readyz", ""); r.status != 503 || !strings.Contains(r.body, "no leader") {
		t.Errorf("readyz without a leader: %+v", r)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if err := lb.DefaultConfig().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	for want, change := range map[string]func(*lb.Config){
		`listen "x"`:                       func(c *lb.Config) { c.Listen = "x" },
		`admin "x:99999"`:                  func(c *lb.Config) { c.Admin = "x:99999" },
		"backends: name at least one":      func(c *lb.Config) { c.Backends = nil },
		`backend "127.0.0.1:0"`:            func(c *lb.Config) { c.Backends[0].HTTP = "127.0.0.1:0" },
		`backend health "y"`:               func(c *lb.Config) { c.Backends[0].Health = "y" },
		`backend "127.0.0.1:8081": is nam`: func(c *lb.Config) { c.Backends[1].HTTP = c.Backends[0].HTTP },
		`backend id "n1"`:                  func(c *lb.Config) { c.Backends[1].ID = "n1" },
		"hold timeout: must be at least 0": func(c *lb.Config) { c.HoldTimeout = -1 },
		"drain timeout: must be at least":  func(c *lb.Config) { c.DrainTimeout = 0 },
		`read method "GET /"`:              func(c *lb.Config) { c.ReadMethods = []string{"GET /"} },
		`read path "POST"`:                 func(c *lb.Config) { c.ReadPaths = []string{"POST"} },
		`write policy "some"`:              func(c *lb.Config) { c.WritePolicy = "some" },
		"access log sample":                func(c *lb.Config) { c.AccessLogSample = 0 },
		"rise 0":                           func(c *lb.Config) { c.Checks.Rise = 0 },
		"max header bytes":                 func(c *lb.Config) { c.Limits.HeaderBytes = 0 },
	} {
		cfg := lb.DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestNewGivesUpPortsItCannotUse(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	cfg := config(startNode(t, "n1"))
	cfg.Listen = harness.FreePorts(t, 1)[0]
	cfg.Admin = taken.Addr().String()
	if _, err := lb.New(cfg, nolog{}.zap()); err == nil || !strings.Contains(err.Error(), "listen for operators") {
		t.Errorf("got %v", err)
	}
	cfg.Admin = "127.0.0.1:0"
	b, err := lb.New(cfg, nolog{}.zap())
	if err != nil {
		t.Fatal(err)
	}
	addr := b.Addr()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
}
