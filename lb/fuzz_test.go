package lb_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/fuzzkit"
)

// fuzzed is a balancer in front of one backend that always leads. Nothing in it
// waits long.
func fuzzed(f *testing.F, serve func(net.Conn, *bufio.Reader)) *proxy {
	f.Helper()
	addr := rawBackend(f, serve)
	cfg := small(foreign(f, addr))
	cfg.Limits.HeaderTimeout, cfg.Limits.BodyTimeout = 300*time.Millisecond, 300*time.Millisecond
	cfg.HoldTimeout, cfg.ReadTimeout, cfg.ReadAttemptTimeout = 20*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	p := start(f, cfg)
	p.settled(f, 1, addr)
	return p
}

// arrivals are the requests that a backend got over its connections, one after the other.
type arrivals struct {
	mu       sync.Mutex
	requests []fuzzkit.Request
	problems []string
}

// serve reads requests strictly, and notes what is none. A request that breaks off
// is one that its client, or the balancer, has given up.
func (a *arrivals) serve(c net.Conn, r *bufio.Reader) {
	for {
		q, err := fuzzkit.ReadRequest(r)
		a.mu.Lock()
		switch {
		case errors.Is(err, fuzzkit.ErrMalformed):
			a.problems = append(a.problems, fmt.Sprintf("%v: %+v", err, q))
		case err == nil && r.Buffered() > 0:
			a.problems = append(a.problems, fmt.Sprintf("%d bytes behind %+v", r.Buffered(), q))
		case err == nil:
			a.requests = append(a.requests, q)
		}
		a.mu.Unlock()
		if err != nil {
			return
		}
		said := okAnswer
		if q.Method == http.MethodHead {
			said = strings.TrimSuffix(okAnswer, "ok")
		}
		if _, err := io.WriteString(c, said); err != nil {
			return
		}
	}
}

// take returns what came since it was last called.
func (a *arrivals) take() ([]fuzzkit.Request, []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests, problems := a.requests, a.problems
	a.requests, a.problems = nil, nil
	return requests, problems
}

// Whatever bytes a client sends, the backend gets only whole requests, each of them
// one that the standard library's parser finds in those bytes, in their order, and
// with nothing in it that is the balancer's to say; and the client gets answers.
func FuzzForward(f *testing.F) {
	for _, in := range []string{
		"GET /kv/a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close, X-Own\r\nX-Own: 1\r\nDengine-Min-Index: 0000000000000000000000000007\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n" + strings.Repeat("a", 600) + "\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n" + strings.Repeat("a", 600) + "GET /c HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
		"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"GET http://x?a HTTP/1.1\r\nHost: x\r\nDengine-Session: 1\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
		"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 5000) + "\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(in))
	}
	got := new(arrivals)
	p := fuzzed(f, got.serve)
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := fuzzkit.NewConn(in)
		p.Admit(conn)
		out := conn.Answered(t)
		requests, problems := got.take()
		for _, why := range problems {
			t.Errorf("%q: the backend got %s", in, why)
		}
		checkForwarded(t, in, requests)
		for _, a := range fuzzkit.Answers(t, in, out) {
			reads := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, a.To.Method)
			if a.Status >= 400 && !reads && a.Header.Get("Dengine-Outcome") == "" {
				t.Errorf("%q: nobody knows what became of the write: %+v", in, a)
			}
		}
	})
}

// checkForwarded finds each request that arrived in what was sent.
func checkForwarded(t *testing.T, in []byte, arrived []fuzzkit.Request) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(in))
	for _, q := range arrived {
		if why := improper(q.Header); why != "" {
			t.Errorf("%q: the backend got %s: %+v", in, why, q)
		}
		for {
			sent, err := fuzzkit.ReadRequest(r)
			if errors.Is(err, fuzzkit.ErrMalformed) {
				return // what follows may be read in another way
			}
			if err != nil {
				t.Errorf("%q: the backend got %+v, which nobody has sent", in, q)
				return
			}
			if q.Method == sent.Method && q.Target == pathOf(sent.Target) && bytes.Equal(q.Body, sent.Body) && (q.Host == sent.Host || sent.Host == "") {
				break
			}
		}
	}
}

// pathOf is what a backend gets of a target: an http URL's path and query.
func pathOf(target string) string {
	_, rest, ok := strings.Cut(target, "://")
	if target[0] == '/' || !ok {
		return target
	}
	_, path, ok := strings.Cut(rest, "/")
	if host, query, asks := strings.Cut(rest, "?"); asks && !strings.Contains(host, "/") {
		return "/?" + query
	}
	if !ok {
		return "/"
	}
	return "/" + path
}

// improper says what a forwarded head must not hold, or "".
func improper(h http.Header) string {
	for _, name := range []string{
		"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Expect", "Http2-Settings", "Dengine-Session", "Dengine-Sequence", "Dengine-Acked",
	} {
		if h.Get(name) != "" {
			return name
		}
	}
	upgrade := h.Get("Connection") == "Upgrade"
	switch {
	case len(h["Connection"]) > 1 || h.Get("Connection") != "" && !upgrade, upgrade != (h.Get("Upgrade") != ""):
		return "headers of another hop"
	case len(h["X-Forwarded-For"]) != 1 || h.Get("X-Forwarded-For") != "127.0.0.1":
		return "a forged address"
	}
	return ""
}

// Whatever bytes a backend answers, the client gets one answer and nothing behind it;
// and one that it takes for whole is the one that the standard library's parser
// finds in those bytes, unless it is the balancer's own.
func FuzzAnswer(f *testing.F) {
	for method, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\n\r\nup to the end",
		"HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nbroken off",
		"HTTP/1.1 503 No\r\nDengine-Node: n1\r\nDengine-Outcome: not-applied\r\nContent-Length: 22\r\n\r\n" + `{"error":"not_leader"}`,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add(byte(method), []byte(answer))
	}
	var answer atomic.Pointer[[]byte]
	p := fuzzed(f, func(c net.Conn, r *bufio.Reader) {
		if _, err := fuzzkit.ReadRequest(r); err == nil {
			_, _ = c.Write(*answer.Load())
		}
	})
	methods := []string{http.MethodGet, http.MethodPut, http.MethodHead}
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		answer.Store(&in)
		method := methods[int(which)%len(methods)]
		conn := fuzzkit.NewConn([]byte(method + " /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"))
		p.Admit(conn)
		checkAnswer(t, method, in, conn.Answered(t))
	})
}

// checkAnswer compares what a backend said with what its client got.
func checkAnswer(t *testing.T, method string, said, out []byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	got, err := fuzzkit.ReadAnswer(r, method)
	if got.Status == 0 {
		t.Fatalf("%s is answered %q, of which the client gets %q: %v", method, said, out, err)
	}
	if err != nil {
		return // it knows that this is not all
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("%s is answered %q, and behind its answer the client gets %q", method, said, rest)
	}
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Upgrade"} {
		if got.Header.Get(name) != "" {
			t.Errorf("%s is answered %q, of which the client gets %s", method, said, name)
		}
	}
	if got.Status >= http.StatusBadGateway && got.Status <= http.StatusGatewayTimeout {
		return // the balancer's own, or as good as that
	}
	want, err := fuzzkit.ReadAnswer(bufio.NewReader(bytes.NewReader(said)), method)
	if got.Status != want.Status || !bytes.Equal(got.Body, want.Body) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s is answered %q: %+v (%v); the client gets %+v", method, said, want, err, got)
	}
}
