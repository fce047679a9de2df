package lb_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
)

// recorder is a backend that keeps the bytes of every request's head.
func recorder(t testing.TB, answer string) (addr string, heads chan string, connections *atomic.Int64) {
	heads, connections = make(chan string, 100), new(atomic.Int64)
	addr = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		connections.Add(1)
		for {
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				b, err := r.ReadByte()
				if err != nil {
					if head.Len() > 0 {
						heads <- "partial: " + head.String()
					}
					return
				}
				head.WriteByte(b)
			}
			req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head.String()), r)))
			if err != nil {
				heads <- "not HTTP: " + head.String()
				return
			}
			// The parser above may have read on; bodies in these tests are short
			// and arrive with their length.
			if _, err := io.ReadAll(req.Body); err != nil {
				heads <- "half: " + head.String()
				return
			}
			heads <- head.String()
			_, _ = io.WriteString(c, answer)
		}
	})
	return addr, heads, connections
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func small(cfg lb.Config) lb.Config {
	cfg.Limits.HeaderBytes, cfg.Limits.BodyBytes, cfg.BufferBody = 4096, 1024, 512
	cfg.Limits.HeaderTimeout, cfg.Limits.BodyTimeout = 2*time.Second, 2*time.Second
	return cfg
}

// What two parsers could read in two ways never reaches a backend.
func TestNothingAmbiguousReachesTheBackend(t *testing.T) {
	t.Parallel()
	addr, heads, _ := recorder(t, okAnswer)
	p := start(t, small(foreign(t, addr)))
	p.settled(t, 1, addr)
	host := "Host: x\r\n"
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	t.Run("cases", func(t *testing.T) {
		for name, c := range map[string]struct{ raw, status string }{
			"two lengths":          {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"},
			"length list":          {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n\r\na", "400"},
			"signed length":        {"POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\na", "400"},
			"length and chunked":   {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
			"gzip encoding":        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n" + smuggled, "400"},
			"gzip, chunked":        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
			"vertical tab":         {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
			"chunked in 1.0":       {"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
			"obs-fold":             {"GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", "400"},
			"bare LF":              {"GET / HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n", "400"},
			"bare CR":              {"GET / HTTP/1.1\r\n" + host + "A: b\rC: d\r\n\r\n", "400"},
			"NUL in a value":       {"GET / HTTP/1.1\r\n" + host + "A: b\x01c\r\n\r\n", "400"},
			"HTTP/1.2":             {"GET / HTTP/1.2\r\n" + host + "\r\n", "505"},
			"HTTP/2.0":             {"GET / HTTP/2.0\r\n" + host + "\r\n", "505"},
			"no host":              {"GET / HTTP/1.1\r\n\r\n", "400"},
			"two hosts":            {"GET / HTTP/1.1\r\n" + host + "Host: y\r\n\r\n", "400"},
			"space before colon":   {"POST / HTTP/1.1\r\n" + host + "Content-Length : 1\r\n\r\na", "400"},
			"space in a name":      {"POST / HTTP/1.1\r\n" + host + "Content Length: 1\r\n\r\n", "400"},
			"connect":              {"CONNECT x:443 HTTP/1.1\r\n" + host + "\r\n", "405"},
			"trace":                {"TRACE / HTTP/1.1\r\n" + host + "\r\n", "405"},
			"lower-case method":    {"get / HTTP/1.1\r\n" + host + "\r\n", "501"},
			"other authority":      {"GET http://evil/ HTTP/1.1\r\n" + host + "\r\n", "400"},
			"fragment":             {"GET /a#b HTTP/1.1\r\n" + host + "\r\n", "400"},
			"odd expectation":      {"POST / HTTP/1.1\r\n" + host + "Expect: cake\r\nContent-Length: 0\r\n\r\n", "417"},
			"header too large":     {"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 5000) + "\r\n\r\n", "431"},
			"body too large":       {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1025\r\n\r\na", "413"},
			"expected too large":   {"POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n", "413"},
			"slow header":          {"GET / HTTP/1.1\r\n" + strings.Repeat("A\x00", 100), "408"},
			"body never comes":     {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nab", "408"},
			"chunks never come":    {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "408"},
			"bad chunk size":       {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"},
			"too many options":     {"GET / HTTP/1.1\r\n" + host + "Connection: " + strings.Repeat("a,", 100) + "\r\n\r\n", "400"},
			"many option lines":    {"GET / HTTP/1.1\r\n" + host + strings.Repeat("Connection: a\r\n", 100) + "\r\n", "400"},
			"chunk longer than it": {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "400"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got := raw(t, p.Addr(), c.raw)
				head, body, _ := strings.Cut(got, "\r\n\r\n")
				if !strings.HasPrefix(head, "HTTP/1.1 "+c.status) || !strings.Contains(body, `"error"`) || !strings.Contains(head, "Connection: close") {
					t.Errorf("got %q, want %s", got, c.status)
				}
				if strings.Count(got, "\r\nDate: ") != 1 {
					t.Errorf("more than one answer: %q", got)
				}
			})
		}
	})
	select {
	case head := <-heads:
		t.Errorf("the backend got %q", head)
	default:
	}
	if r := do(t, client(t), "GET", p.url("/next"), ""); r.status != 200 {
		t.Errorf("the next request got %+v", r)
	}
}

// A body that turns out too long in the middle ends in 413, though its first
// part is with the backend already; the backend never sees a whole request.
func TestChunkedBodyOverTheLimit(t *testing.T) {
	t.Parallel()
	addr, heads, _ := recorder(t, okAnswer)
	p := start(t, small(foreign(t, addr)))
	p.settled(t, 1, addr)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 400, strings.Repeat("a", 400))
	got := raw(t, p.Addr(), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk+chunk+"\x00"+chunk+"0\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 413") || !strings.Contains(got, "body_too_large") {
		t.Errorf("got %q", got)
	}
	select {
	case head := <-heads:
		if !strings.HasPrefix(head, "half: ") {
			t.Errorf("the backend got %q", head)
		}
	case <-time.After(deadline):
		t.Error("the backend was left waiting")
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	addr, _, _ := recorder(t, okAnswer)
	cfg := foreign(t, addr)
	cfg.Limits.Conns = 2
	p := start(t, cfg)
	p.settled(t, 1, addr)
	first, second := dial(t, p.Addr()), dial(t, p.Addr())
	eventually(t, "two connections", func() bool { return p.Status().Clients.Open == 2 })
	got := raw(t, p.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, `"too_many_connections"`) {
		t.Fatalf("the third got %q", got)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("its body: %v", err)
	}
	_ = first.Close()
	eventually(t, "room", func() bool { return p.Status().Clients.Open == 1 })
	if got := raw(t, p.Addr(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("after one left: %q", got)
	}
	write(t, second, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(second); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("the second got %q, %v", b, err)
	}
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	addr, heads, _ := recorder(t, okAnswer)
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	got := raw(t, p.Addr(), "PUT /a%2Fb//../c;x?q=%zz&r HTTP/1.1\r\nHost: Example:80\r\nConnection: close, X-Secret, content-length, Host\r\n"+
		"x-lower-Case: kept\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Secret: 1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTE: trailers\r\nTrailer: X\r\n"+
		"Upgrade: x\r\nExpect: 100-continue\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"+
		"Via: 1.0 other\r\nDengine-Session: s\r\nDengine-Sequence: 1\r\nDengine-Acked: 1\r\nDengine-Min-Index: 7\r\nCookie: a=b; c=\"d\"\r\nContent-Length: 3\r\n\r\nabc")
	if !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Fatalf("got %q", got)
	}
	want := "PUT /a%2Fb//../c;x?q=%zz&r HTTP/1.1\r\nHost: Example:80\r\n" +
		"x-lower-Case: kept\r\nX-Twice: 1\r\nX-Twice: 2\r\nVia: 1.0 other\r\nDengine-Min-Index: 7\r\nCookie: a=b; c=\"d\"\r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Example:80\r\nVia: 1.1 dengine\r\nContent-Length: 3\r\n\r\n"
	if head := <-heads; head != want {
		t.Errorf("the backend got\n%q, want\n%q", head, want)
	}
	raw(t, p.Addr(), "GET http://x/abs?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if head := <-heads; !strings.HasPrefix(head, "GET /abs?q HTTP/1.1\r\nHost: x\r\n") {
		t.Errorf("absolute form: %q", head)
	}
	raw(t, p.Addr(), "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if head := <-heads; !strings.HasPrefix(head, "OPTIONS * HTTP/1.1\r\n") {
		t.Errorf("asterisk form: %q", head)
	}
}

func TestTrustedForwardedIsAppendedTo(t *testing.T) {
	t.Parallel()
	addr, heads, _ := recorder(t, okAnswer)
	cfg := foreign(t, addr)
	cfg.TrustForwarded = true
	p := start(t, cfg)
	p.settled(t, 1, addr)
	do(t, client(t), "GET", p.url("/"), "", "X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "2.2.2.2", "X-Forwarded-Proto", "https", "X-Real-Ip", "3.3.3.3")
	head := <-heads
	for _, want := range []string{"\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", "\r\nX-Forwarded-Proto: https\r\n", "\r\nX-Forwarded-Host: 127.0.0.1:", "\r\nX-Real-Ip: 3.3.3.3\r\n"} {
		if strings.Count(head, want) != 1 {
			t.Errorf("%q is not once in %q", want, head)
		}
	}
	if strings.Count(head, "X-Forwarded-For") != 1 || strings.Count(head, "X-Forwarded-Proto") != 1 {
		t.Errorf("twice in %q", head)
	}
}

func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	addr, _, _ := recorder(t, "HTTP/1.1 299 Fine by me\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nTrailer: T\r\n"+
		"x-lower-Case: kept\r\nX-Twice: 1\r\nX-Twice: 2\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\nServer: theirs\r\nContent-Type: text/odd\r\n"+
		"Content-Encoding: gzip\r\nContent-Encoding: br\r\nETag: \"x\"\r\nContent-Length: 2\r\n\r\nok")
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	got := raw(t, p.Addr(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 299 Fine by me\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{"x-lower-Case: kept", "X-Twice: 1", "X-Twice: 2", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d", "Server: theirs",
		"Content-Type: text/odd", "Content-Encoding: gzip, br", `ETag: "x"`, "Content-Length: 2", "Connection: close", "Date: "} {
		if strings.Count(got, "\r\n"+want) != 1 {
			t.Errorf("%q is not once in %q", want, got)
		}
	}
	for _, bad := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Trailer"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in %q", bad, got)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	addr, _, connections := recorder(t, okAnswer)
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	c := dial(t, p.Addr())
	r := bufio.NewReader(c)
	for range 20 {
		write(t, c, plainGet)
		readAnswer(t, r, http.MethodGet)
		write(t, c, plainPost("/"))
		readAnswer(t, r, http.MethodPost)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
}

func TestPipelinedRequests(t *testing.T) {
	t.Parallel()
	addr, heads, _ := recorder(t, okAnswer)
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	got := raw(t, p.Addr(), "PUT /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200") != 3 {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{"PUT /1 ", "GET /2 ", "GET /3 "} {
		if head := <-heads; !strings.HasPrefix(head, want) {
			t.Errorf("got %q, want %q", head, want)
		}
	}
}

// Bytes that a backend sends unasked on an idle connection are nobody's answer.
func TestUnaskedAnswerIsNobodys(t *testing.T) {
	t.Parallel()
	speak, spoke := make(chan struct{}, 1), make(chan struct{}, 1)
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if _, _, err := readRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, okAnswer)
		<-speak
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		spoke <- struct{}{}
		_, _ = io.Copy(io.Discard, r)
	})
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	c := client(t)
	for i := range 3 {
		if r := do(t, c, "GET", p.url("/"), ""); r.status != 200 || r.body != "ok" {
			t.Fatalf("read %d got %+v", i, r)
		}
		speak <- struct{}{}
		<-spoke
	}
}

// Each option of Connection is compared with each header, so that many of both
// would be a cheap way to keep the balancer busy.
func TestConnectionOptionsAreBounded(t *testing.T) {
	t.Parallel()
	addr, _, _ := recorder(t, okAnswer)
	p := start(t, foreign(t, addr))
	p.settled(t, 1, addr)
	ask := func(n int) string {
		return raw(t, p.Addr(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close"+strings.Repeat(", a", n-1)+"\r\n\r\n")
	}
	if got := ask(32); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("32 options: %q", got)
	}
	if got := ask(33); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "at most 32 options") {
		t.Errorf("33 options: %q", got)
	}
}
