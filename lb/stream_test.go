package lb_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// An answer that streams reaches the client piece by piece, however it is framed.
func TestAnswerStreamsAsItComes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ head, first, rest string }{
		"events":     {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", "6\r\nfirst \r\n", "4;ext=1\r\nlast\r\n0\r\nTrailing: x\r\n\r\n"},
		"to the end": {"Connection: close\r\n\r\n", "first ", "last"},
		"length":     {fmt.Sprintf("Content-Length: %d\r\n\r\n", 6+100000), "first ", strings.Repeat("x", 100000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			more := make(chan struct{})
			addr := rawBackend(t, func(conn net.Conn, r *bufio.Reader) {
				if _, _, err := readRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+c.head+c.first)
				<-more
				_, _ = io.WriteString(conn, c.rest)
			})
			p := start(t, foreign(t, addr))
			p.settled(t, 1, addr)
			resp, err := client(t).Get(p.url("/"))
			if err != nil {
				close(more)
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got := make([]byte, 6)
			_, err = io.ReadFull(resp.Body, got)
			close(more) // only now: had the first piece not come through, the read above would never have ended
			if err != nil || string(got) != "first " {
				t.Fatalf("got %q, %v", got, err)
			}
			rest, err := io.ReadAll(resp.Body)
			if err != nil || len(rest) == 0 || (name != "length" && string(rest) != "last") || (name == "length" && len(rest) != 100000) {
				t.Errorf("the rest: %d bytes, %v", len(rest), err)
			}
		})
	}
}

// A body that breaks off never looks complete.
func TestBrokenStreamIsNotAnEnd(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bad chunk": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
		"bare LF":   "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
		"length":    "Content-Length: 100000\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				_, _, _ = readRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+answer)
			})
			p := start(t, foreign(t, addr))
			p.settled(t, 1, addr)
			resp, err := client(t).Get(p.url("/"))
			if err != nil {
				return // it broke before the head was out: as good
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a broken answer ended cleanly after %q", b)
			}
		})
	}
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	n := startNode(t, "n1")
	n.lead(1)
	n.answer(func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) })
	cfg := config(n)
	cfg.BufferBody = 64 << 10
	cfg.Limits.BodyBytes = 2 << 20
	p := start(t, cfg)
	p.settled(t, 1, "n1")
	c := client(t)
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 64 << 10, 64<<10 + 1, 1 << 20, 2 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for _, framed := range []bool{true, false} {
			req, err := http.NewRequest("POST", p.url("/echo"), struct{ io.Reader }{bytes.NewReader(body)})
			if err != nil {
				t.Fatal(err)
			}
			if framed {
				req.ContentLength = int64(size)
				if size == 0 {
					req.Body = http.NoBody
				}
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatalf("%d bytes, length known %v: %v", size, framed, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
				t.Errorf("%d bytes, length known %v: %d, %d bytes back, %v", size, framed, resp.StatusCode, len(got), err)
			}
		}
	}
}

// A request too long to be kept reaches the backend while it is still coming.
func TestRequestStreamsAsItComes(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 1)
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		first := make([]byte, 6)
		_, _ = io.ReadFull(req.Body, first)
		arrived <- string(first)
		rest, _ := io.ReadAll(req.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(rest), rest)
	})
	cfg := foreign(t, addr)
	cfg.BufferBody = 4
	p := start(t, cfg)
	p.settled(t, 1, addr)
	conn := dial(t, p.Addr())
	write(t, conn, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n")
	select {
	case got := <-arrived:
		if got != "first " {
			t.Fatalf("got %q", got)
		}
	case <-time.After(deadline):
		t.Fatal("nothing arrived before the end")
	}
	write(t, conn, "4\r\nlast\r\n0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "last" {
		t.Errorf("got %q, %v", b, err)
	}
}

// A client that stops in the middle of a body that streams does not leave the
// backend with a request that looks whole.
func TestAbandonedStreamIsNotCompleted(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	addr := rawBackend(t, func(_ net.Conn, r *bufio.Reader) {
		_, _, err := readRequest(r)
		result <- err
	})
	cfg := foreign(t, addr)
	cfg.BufferBody = 4
	p := start(t, cfg)
	p.settled(t, 1, addr)
	conn := dial(t, p.Addr())
	write(t, conn, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n")
	_ = conn.Close()
	select {
	case err := <-result:
		if err == nil {
			t.Error("the backend got a complete request")
		}
	case <-time.After(deadline):
		t.Fatal("the backend was left waiting")
	}
}

func TestHeadAndEmptyAnswers(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/head":
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: \"a\"\r\n\r\n")
			case "/204":
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			case "/304":
				_, _ = io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")
			case "/early":
				_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	c := client(t)
	if r := do(t, c, "HEAD", p.url("/head"), ""); r.status != 200 || r.header.Get("Content-Length") != "12345" || r.header.Get("Etag") != `"a"` {
		t.Errorf("HEAD: %+v", r)
	}
	if r := do(t, c, "GET", p.url("/204"), ""); r.status != 204 || r.body != "" || r.header.Get("Content-Length") != "" {
		t.Errorf("204: %+v", r)
	}
	if got := raw(t, p.Addr(), "GET /304 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 304") || !strings.HasSuffix(got, "\r\n\r\n") || !strings.Contains(got, "Content-Length: 7\r\n") {
		t.Errorf("304: %q", got)
	}
	if got := raw(t, p.Addr(), "GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("after a 103: %q", got)
	}
}

func TestHTTP10Client(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/chunked" {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
				continue
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.Proto), req.Proto)
		}
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	if got := raw(t, p.Addr(), "GET /a HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\nHTTP/1.1") {
		t.Errorf("the backend was not spoken to in HTTP/1.1: %q", got)
	}
	got := raw(t, p.Addr(), "GET /chunked HTTP/1.0\r\nHost: x\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\nhello world") || strings.Contains(got, "chunked") || !strings.Contains(got, "Connection: close") {
		t.Errorf("chunks to an HTTP/1.0 client: %q", got)
	}
	eventually(t, "the connections to be counted out", func() bool { return p.Status().Clients.Open == 0 })
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		req, _, err := readRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") == "" || !strings.EqualFold(req.Header.Get("Connection"), "upgrade") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nno upgrade")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "+req.Header.Get("Upgrade")+"\r\nSec-WebSocket-Accept: yes\r\n\r\nwelcome")
		_, _ = io.Copy(c, r)
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	conn := dial(t, p.Addr())
	// What the client says before it has the answer belongs to the tunnel too.
	write(t, conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-Websocket-Accept") != "yes" {
		t.Fatalf("got %+v, %v", resp, err)
	}
	expect(t, r, "welcomeearly")
	write(t, conn, "ping")
	expect(t, r, "ping")
	_ = conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	eventually(t, "the connection to be counted out", func() bool { return p.Status().Clients.Open == 0 })

	for name, header := range map[string]string{
		"h2c":                "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
		"not in Connection":  "Connection: close\r\nUpgrade: websocket\r\n",
		"with a body as GET": "Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
	} {
		got := raw(t, p.Addr(), "GET /ws HTTP/1.1\r\nHost: x\r\n"+header+"\r\nx")
		if !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, "no upgrade") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}
