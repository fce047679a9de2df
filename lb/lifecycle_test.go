package lb_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// ended waits until Run has returned, which must not take until the end of any
// timeout but the drain's.
func (p *proxy) ended(t testing.TB) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(deadline):
		t.Fatal("Run has not returned")
	}
}

// A server that a reload makes while the port is closed already would have
// nobody to end it.
func TestReloadWhileDraining(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	cfg := config(n)
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	if r := do(t, client(t), "POST", "http://"+p.AdminAddr()+"/drain", ""); r.status != 202 {
		t.Fatalf("drain: %+v", r)
	}
	refused(t, p.Addr())
	cfg.Limits.HeaderTimeout++
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p.ended(t)
	if p.err != nil {
		t.Errorf("Run: %v", p.err)
	}
}

// The end may come before the servers have begun to serve.
func TestStopRightAfterStart(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Backends = []lb.Backend{{HTTP: "127.0.0.1:1"}}
	for i := range 20 {
		b, err := lb.New(cfg, nolog{}.zap())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		if i%2 == 0 {
			stop()
		}
		p := &proxy{Balancer: b, done: make(chan struct{})}
		go func() { defer close(p.done); p.err = b.Run(ctx) }()
		stop()
		p.ended(t)
	}
}

// What is in flight on a backend that is no longer configured ends with the
// drain as well.
func TestDrainEndsRequestsOnRemovedBackends(t *testing.T) {
	t.Parallel()
	stays, goes := startNode(t, "n1"), startNode(t, "n2")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	goes.answer(func(*fasthttp.RequestCtx) { <-hang })
	cfg := config(goes)
	cfg.DrainTimeout = 200 * time.Millisecond
	cfg.UpstreamTimeout = 3 * deadline // nothing but the drain may end it
	cfg.ReadTimeout = cfg.UpstreamTimeout
	p := start(t, cfg)
	p.settled(t, 1, "")
	hung := async(client(t), "GET", p.url("/a"), "")
	eventually(t, "the read to arrive", func() bool { return goes.hits.Load() == 1 })
	cfg.Backends = config(stays).Backends
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p.ended(t)
	if !errors.Is(p.err, lb.ErrDrain) {
		t.Errorf("Run: %v", p.err)
	}
	await(t, hung)
}

func TestReloadBeforeRun(t *testing.T) {
	t.Parallel()
	n1, n2 := startNode(t, "n1"), startNode(t, "n2")
	n2.lead(1)
	b, err := lb.New(config(n1), nolog{}.zap())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(config(n2)); err != nil {
		t.Fatal(err)
	}
	p := run(t, b)
	p.settled(t, 1, "n2")
}

// Who drains by the admin port waits for in_flight to be zero: what lasts counts.
func TestInFlightCountsWhatLasts(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		req, _, err := readRequest(r)
		if err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
		if req.Header.Get("Upgrade") != "" {
			answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"
		}
		_, _ = io.WriteString(c, answer)
		_, _ = io.Copy(io.Discard, r)
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	var conns []net.Conn
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		c := dial(t, p.Addr())
		write(t, c, request)
		r := bufio.NewReader(c)
		for got := ""; !strings.Contains(got, "hello"); {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("%q: %v after %q", request, err, got)
			}
			got += string(b)
		}
		conns = append(conns, c)
		if n := p.Status().Requests.InFlight; n != int64(len(conns)) {
			t.Errorf("%q under way: %d in flight, want %d", request, n, len(conns))
		}
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "none in flight", func() bool { return p.Status().Requests.InFlight == 0 })
	if s := p.Status(); s.Requests.Reads != 3 {
		t.Errorf("%d reads are counted", s.Requests.Reads)
	}
}

// A client that closed its sending half counts as having left, but it may be
// listening: what it hears must be true.
func TestHalfClosedClientIsToldTheTruth(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	path := filepath.Join(t.TempDir(), "access.log")
	cfg := config(n)
	cfg.AccessLog = path
	p := start(t, cfg)
	p.settled(t, 1, "")
	c := dial(t, p.Addr())
	write(t, c, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	eventually(t, "the write to be held", func() bool { return p.Status().Held.Now == 1 })
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503") || !strings.Contains(string(got), `"client_left"`) ||
		!strings.Contains(string(got), "Dengine-Outcome: not-applied") {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, "the log to say that the client left", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(b), `"status":499`)
	})
}
