package lb_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// deadline is how long a condition may take to come true. Nothing waits for it
// when all is well.
const deadline = time.Minute

// startServer serves on a free port until the test ends.
func startServer(t testing.TB, srv *fasthttp.Server, stop func()) string {
	t.Helper()
	ln := listen(t)
	srv.Logger, srv.CloseOnShutdown, srv.IdleTimeout = nolog{}, true, time.Minute
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() {
		if stop != nil {
			stop()
		}
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		_ = srv.ShutdownWithContext(ctx)
		_ = ln.Close() // a server that has not begun to serve yet would not know
		<-done
	})
	return ln.Addr().String()
}

type nolog struct{}

func (nolog) Printf(string, ...any) {}

func (nolog) zap() *zap.Logger { return zap.NewNop() }

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// rawBackend is a backend that a test scripts byte by byte. serve gets each
// connection, and closes it.
func rawBackend(t testing.TB, serve func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	ln := listen(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// readRequest reads one request with the parser of the standard library.
func readRequest(r *bufio.Reader) (*http.Request, []byte, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(req.Body)
	return req, body, err
}

func config(nodes ...*node) lb.Config {
	cfg := lb.DefaultConfig()
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Backends = nil
	for _, n := range nodes {
		cfg.Backends = append(cfg.Backends, lb.Backend{ID: n.id, HTTP: n.http, Health: n.health})
	}
	cfg.Checks.Interval = 50 * time.Millisecond
	cfg.DrainTimeout = 5 * time.Second
	// On a busy machine a goroutine may wait for seconds. Whoever tests that something
	// ends with its time says so.
	cfg.HoldTimeout = 2 * deadline // half of it is for the first sending
	cfg.Checks.Timeout, cfg.ConnectTimeout, cfg.ReadAttemptTimeout = deadline, deadline, deadline
	if os.Getenv(allShared) != "" {
		lb.ShareHard(&cfg)
	}
	return cfg
}

// foreign is a configuration for one backend at addr that always leads.
func foreign(t testing.TB, addr string) lb.Config {
	cfg := config()
	cfg.Backends = []lb.Backend{{HTTP: addr, Health: alwaysPrimary(t)}}
	cfg.Checks.Mode = healthcheck.ModePoll
	return cfg
}

// alwaysPrimary is a health port that says yes to everything.
func alwaysPrimary(t testing.TB) string {
	return startServer(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(200) }}, nil)
}

// proxy is a running balancer.
type proxy struct {
	*lb.Balancer
	stop context.CancelFunc
	done chan struct{}
	err  error // of Run, once done
}

func (p *proxy) url(path string) string { return "http://" + p.Addr() + path }

// start runs a balancer until the test ends.
func start(t testing.TB, cfg lb.Config) *proxy {
	t.Helper()
	b, err := lb.New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return run(t, b)
}

// run runs a balancer that was made already.
func run(t testing.TB, b *lb.Balancer) *proxy {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &proxy{Balancer: b, stop: stop, done: make(chan struct{})}
	go func() { defer close(p.done); p.err = b.Run(ctx) }()
	t.Cleanup(func() { stop(); <-p.done })
	return p
}

// settled waits until the balancer sees that many readers, and the leader.
func (p *proxy) settled(t testing.TB, readers int, leader string) {
	t.Helper()
	eventually(t, "the view to settle", func() bool {
		s := p.Status()
		n := 0
		for _, be := range s.Backends {
			if be.Ready {
				n++
			}
		}
		return n == readers && s.Leader == leader
	})
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); ; <-tick.C {
		if is() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// refused waits until nobody listens at addr any more.
func refused(t testing.TB, addr string) {
	t.Helper()
	eventually(t, "the port to close", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

// client is an HTTP client that keeps its own connections and follows nothing.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * deadline}
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) code() string {
	var e struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal([]byte(r.body), &e)
	return e.Error
}

func do(t testing.TB, c *http.Client, method, url, body string, header ...string) reply {
	t.Helper()
	r, err := try(c, method, url, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func try(c *http.Client, method, url, body string, header ...string) (reply, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// raw writes a request byte by byte as given and returns all that comes back
// until the connection ends. A "\x00" is a pause on the sender's side.
func raw(t testing.TB, addr, request string) string {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i, piece := range strings.Split(request, "\x00") {
		if i > 0 {
			<-tick.C
		}
		if _, err := io.WriteString(c, piece); err != nil {
			break
		}
	}
	got, _ := io.ReadAll(c) // a reset after the answer is fine
	return string(got)
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(2 * deadline)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// async runs one request beside the test.
func async(c *http.Client, method, url, body string, header ...string) <-chan reply {
	out := make(chan reply, 1)
	go func() {
		r, err := try(c, method, url, body, header...)
		if err != nil {
			r.body = err.Error()
		}
		out <- r
	}()
	return out
}

func await(t testing.TB, ch <-chan reply) reply {
	t.Helper()
	select {
	case r := <-ch:
		return r
	case <-time.After(2 * deadline):
		t.Fatal("no answer")
		return reply{}
	}
}
