package lb_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// overloaded says whether an answer sends the client away for now, certain that
// nothing was done.
func overloaded(t testing.TB, r reply, says string) {
	t.Helper()
	if r.status != 503 || r.code() != "overloaded" || !strings.Contains(r.body, says) ||
		r.header.Get("Retry-After") != "1" || r.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("got %+v, want overloaded and %q", r, says)
	}
}

// Bodies that are kept have one bound for all clients together.
func TestBufferedBodiesAreBounded(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	cfg := config(n)
	cfg.BufferTotal = 1 << 20
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	c := client(t)
	body := strings.Repeat("x", 600<<10)
	slow := dial(t, p.Addr())
	write(t, slow, fmt.Sprintf("PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[1:]))
	eventually(t, "the slow one to have its room", func() bool { return p.Status().Requests.BufferedBytes >= int64(len(body)) })
	eventually(t, "the budget to be taken", func() bool {
		r := do(t, c, "PUT", p.url("/kv/a"), body)
		if r.status == 200 {
			return false
		}
		overloaded(t, r, "request bodies")
		return true
	})
	if r := do(t, c, "PUT", p.url("/kv/a"), "short"); r.status != 200 {
		t.Errorf("a short one: %+v", r)
	}
	write(t, slow, "x")
	if b, err := bufio.NewReader(slow).ReadString('\n'); err != nil || !strings.Contains(b, "200") {
		t.Errorf("the one that had its room: %q, %v", b, err)
	}
	for range 5 { // what was taken comes back
		if r := do(t, c, "PUT", p.url("/kv/a"), body); r.status != 200 {
			t.Errorf("afterwards: %+v", r)
		}
	}
}

func TestAllConnectionsInUse(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	n.answer(func(*fasthttp.RequestCtx) { <-hang })
	cfg := config(n)
	cfg.UpstreamConns = 1
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	async(client(t), "PUT", p.url("/kv/a"), "x")
	eventually(t, "the connection to be in use", func() bool { return n.hits.Load() == 1 })
	cfg.HoldTimeout, cfg.ConnectTimeout = 3*time.Second, 50*time.Millisecond // nobody's patience ends but the second's
	if err := p.Reload(sameListeners(p, cfg)); err != nil {
		t.Fatal(err)
	}
	overloaded(t, do(t, client(t), "PUT", p.url("/kv/b"), "x"), "connections to the backend")
	if s := p.Status(); s.Held.Total != 1 {
		t.Errorf("one request waited, %d are counted", s.Held.Total)
	}
}

// Uploads and tunnels last as long as their clients like; they leave half of the
// connections to others.
func TestLongExchangesTakeHalfAtMost(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	cfg := config(n)
	cfg.UpstreamConns, cfg.BufferBody = 4, 10
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	c := client(t)
	var uploads []net.Conn
	for range 2 {
		up := dial(t, p.Addr())
		write(t, up, "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 9000))
		uploads = append(uploads, up)
	}
	eventually(t, "both to be under way", func() bool { return p.Status().Backends[0].Connections == 2 })
	overloaded(t, do(t, c, "PUT", p.url("/kv/b"), strings.Repeat("x", 100)), "streams")
	for _, method := range []string{"PUT", "GET"} {
		if r := do(t, c, method, p.url("/kv/b"), ""); r.status != 200 {
			t.Errorf("%s beside them: %+v", method, r)
		}
	}
	_ = uploads[0].Close()
	eventually(t, "its place to be free", func() bool {
		return do(t, c, "PUT", p.url("/kv/b"), strings.Repeat("x", 100)).status == 200
	})
	for range 5 {
		if r := do(t, c, "PUT", p.url("/kv/b"), strings.Repeat("x", 100)); r.status != 200 {
			t.Errorf("a place was lost: %+v", r)
		}
	}
}

// A leader that says it has too much to do is not asked twenty times a second,
// and its own words reach the client.
func TestLeaderThatPushesBack(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	n.answer(func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(503)
		ctx.Response.Header.Set("Dengine-Outcome", "not-applied")
		ctx.SetBodyString(`{"error":"table_full","message":"delete something"}`)
	})
	cfg := config(n)
	cfg.HoldTimeout = 1500 * time.Millisecond
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	r := do(t, client(t), "PUT", p.url("/kv/a"), "x")
	if r.status != 503 || r.code() != "table_full" || !strings.Contains(r.body, "delete something") ||
		r.header.Get("Dengine-Outcome") != "not-applied" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %+v", r)
	}
	if n := n.writes.Load(); n < 2 || n > 15 {
		t.Errorf("it was asked %d times", n)
	}
	if s := p.Status(); s.Held.Total != 1 {
		t.Errorf("one request waited, %d are counted", s.Held.Total)
	}
}

// A backend may answer from the head alone and read nothing more.
func TestAnswerBeforeTheBodyWasRead(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
		<-done
	})
	cfg := foreign(t, addr)
	cfg.UpstreamTimeout = 2 * time.Second
	p := start(t, cfg)
	p.settled(t, 1, addr)
	defer close(done)
	for name, size := range map[string]int{"kept": 7 << 20, "streamed": 30 << 20} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, p.Addr())
			go func() { // ends with the connection
				_, _ = fmt.Fprintf(conn, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
				_, _ = io.CopyN(conn, zeros{}, int64(size))
			}()
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 413") {
				t.Errorf("got %q, %v", line, err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
