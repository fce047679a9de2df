package lb_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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
	cfg.Limits.HeaderTimeout, cfg.Limits.BodyTimeout = deadline, deadline // whoever sends a part sends the end
	cfg.HoldTimeout, cfg.ReadTimeout = 20*time.Millisecond, deadline
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
	fuzzForward(f, func(*arrivals) sender { return sendToServer })
}

// The same holds of a connection that a worker has.
func FuzzForwardByWorkers(f *testing.F) {
	fuzzForward(f, func(got *arrivals) sender { return senderToWorkers(func() { got.take() }) })
}

// sender sends bytes to a balancer, and returns what waits for the end of the connection
// and returns all that came back.
type sender func(t testing.TB, p *proxy, in []byte) (answered func(testing.TB) []byte)

func sendToServer(_ testing.TB, p *proxy, in []byte) func(testing.TB) []byte {
	conn := fuzzkit.NewConn(in)
	p.Admit(conn)
	return conn.Answered
}

// senderToWorkers sends them over connections that workers have. there is called once
// that is so, and nothing was sent yet. Each connection is from another address: each of
// these has ports of its own, which rest for a minute.
func senderToWorkers(there func()) sender {
	var dialed atomic.Uint32
	return func(t testing.TB, p *proxy, in []byte) func(testing.TB) []byte {
		n := dialed.Add(1)
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
		c, err := from.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		toWorker(t, c)
		there()
		write(t, c, string(in))
		_ = c.(*net.TCPConn).CloseWrite()
		return func(t testing.TB) []byte {
			defer c.Close()
			out, err := io.ReadAll(c) // a reset behind an answer is fine
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q: the connection never ends, after %q", in, out)
			}
			return out
		}
	}
}

// fuzzForward checks what becomes of bytes that a sender sends.
func fuzzForward(f *testing.F, with func(*arrivals) sender) {
	f.Helper()
	for _, in := range []string{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nIdempotency-Key: 1\r\n\r\nabcGET /c HTTP/1.1\r\nHost: x:80\r\nConnection: keep-alive\r\n\r\n",
		"DELETE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\nKeep-Alive: 1\r\n\r\n",
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
	p, send := fuzzed(f, got.serve), with(got)
	f.Fuzz(func(t *testing.T, in []byte) {
		out := send(t, p, in)(t)
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
	case len(h["X-Forwarded-For"]) != 1 || !strings.HasPrefix(h.Get("X-Forwarded-For"), "127."): // clients are here
		return "a forged address"
	}
	return ""
}

// Whatever bytes a backend answers, the client gets one answer and nothing behind it;
// and one that it takes for whole is the one that the standard library's parser
// finds in those bytes, unless it is the balancer's own.
func FuzzAnswer(f *testing.F) {
	fuzzAnswer(f, sendToServer)
}

// The same holds of an answer that comes to a worker.
func FuzzAnswerByWorkers(f *testing.F) {
	fuzzAnswer(f, senderToWorkers(func() {}))
}

func fuzzAnswer(f *testing.F, send sender) {
	f.Helper()
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
		for {
			q, err := fuzzkit.ReadRequest(r)
			switch {
			case err != nil:
				return
			case q.Target != "/x": // that comes before, and brings the connection to a worker
				_, _ = io.WriteString(c, okAnswer)
				continue
			}
			_, _ = c.Write(*answer.Load())
			return
		}
	})
	methods := []string{http.MethodGet, http.MethodPut, http.MethodHead}
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		answer.Store(&in)
		method := methods[int(which)%len(methods)]
		request := method + " /x HTTP/1.1\r\nHost: x\r\n\r\n"
		if method == http.MethodPut {
			request = method + " /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
		}
		checkAnswer(t, method, in, send(t, p, []byte(request))(t))
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
