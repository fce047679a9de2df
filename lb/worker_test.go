package lb_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
)

const plainGet = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"

// plainPost is a short POST to a path.
func plainPost(path string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
}

// toWorker has the balancer answer a plain request over c, after which a worker takes
// the connection over.
func toWorker(t testing.TB, c net.Conn) {
	t.Helper()
	write(t, c, plainGet)
	if a := readAnswer(t, bufio.NewReader(c), http.MethodGet); a.status != http.StatusOK {
		t.Fatalf("a plain GET: %+v", a)
	}
}

// readAnswer reads one answer, without its Date.
func readAnswer(t testing.TB, r *bufio.Reader, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	if resp.Close {
		resp.Header.Set("Connection", "close") // which ReadResponse takes away
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// scripted is a backend that answers each path with bytes of its own, and everything
// else with okAnswer. What said returns nothing for, it never answers.
func scripted(t testing.TB, said map[string]string) string {
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			answer, ok := said[req.URL.Path]
			if !ok {
				answer = okAnswer
			}
			if _, err := io.WriteString(c, strings.TrimSuffix(answer, parting)); err != nil || strings.HasSuffix(answer, parting) {
				return
			}
		}
	})
}

// parting ends what a scripted backend says with the end of the connection.
const parting = "\x00"

// startWorkers runs a balancer with so many workers in front of one foreign backend.
func startWorkers(t testing.TB, addr string, n int, change func(*lb.Config)) *proxy {
	t.Helper()
	cfg := foreign(t, addr)
	cfg.Workers, cfg.ShareReads = n, lb.ShareNever
	lb.Patient(&cfg, deadline)
	if change != nil {
		change(&cfg)
	}
	p := start(t, cfg)
	p.settled(t, 1, addr)
	return p
}

// Clients cannot tell whether a worker answered them or the server.
func TestWorkersAnswerAsTheServerDoes(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	said := map[string]string{
		"/headers":      ok + "Content-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\nEtag: \"x\"\r\nServer: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok",
		"/hop":          ok + "Connection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: a\r\nTe: a\r\nContent-Length: 2\r\n\r\nok",
		"/lengths":      ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"/empty":        ok + "Content-Length: 0\r\n\r\n",
		"/reason":       "HTTP/1.1 299 Well Done\r\nContent-Length: 2\r\n\r\nok",
		"/not-found":    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
		"/error":        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbug",
		"/doubt":        "HTTP/1.1 504 Gateway Timeout\r\nDengine-Outcome: unknown\r\nContent-Length: 3\r\n\r\nbug",
		"/busy":         "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy",
		"/no-content":   "HTTP/1.1 204 No Content\r\n\r\n",
		"/not-modified": "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		"/chunked":      ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"/early":        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + okAnswer,
		"/long":         ok + "Content-Length: 200000\r\n\r\n" + strings.Repeat("l", 200000),
		"/whole":        ok + "Content-Length: 60000\r\n\r\n" + strings.Repeat("w", 60000),
		"/closes":       ok + "Connection: close\r\nContent-Length: 2\r\n\r\nok" + parting,
		"/to-the-end":   ok + "\r\nthe end" + parting,
		"/old":          "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok" + parting,
		"/unasked":      ok + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
		"/two-lengths":  ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"/nonsense":     "nonsense\r\n\r\n" + parting,
		"/broken":       ok + "Content-Length: 5\r\n\r\nok" + parting,
		"/nothing":      parting,
	}
	worker := startWorkers(t, scripted(t, said), 1, nil)
	server := startWorkers(t, scripted(t, said), 0, nil)
	for path := range said {
		for _, request := range []string{"GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", plainPost(path)} {
			ask := func(p *proxy) reply {
				c := dial(t, p.Addr())
				toWorker(t, c)
				write(t, c, request)
				r := bufio.NewReader(c)
				a := readAnswer(t, r, request[:4])
				if a.header.Get("Connection") != "close" { // it goes on as if nothing had been
					write(t, c, plainGet)
					if next := readAnswer(t, r, http.MethodGet); next.body != "ok" {
						t.Errorf("%.20q and then a plain GET: %+v", request, next)
					}
				}
				return a
			}
			if got, want := ask(worker), ask(server); !reflect.DeepEqual(got, want) {
				t.Errorf("%.20q: a worker answers\n%.300q, and the server\n%.300q", request, fmt.Sprint(got), fmt.Sprint(want))
			}
		}
	}
	if answered, returned := worker.Worked(); answered == 0 || returned == 0 {
		t.Errorf("workers answered %d requests and gave %d back: this compared nothing", answered, returned)
	}
}

// The rest of a write that a worker has sent is the server's: it is not sent again,
// whatever becomes of the connection, and its client is told that nobody knows.
func TestWriteOfAWorkerIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { _ = c.Close() },
		"reset":  func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		"silent": func(net.Conn) {},
		"partly": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-"); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var writes atomic.Int64
			addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				for {
					req, _, err := readRequest(r)
					if err != nil {
						return
					}
					if req.Method == http.MethodPost {
						writes.Add(1)
						end(c)
						continue
					}
					_, _ = io.WriteString(c, okAnswer)
				}
			})
			p := startWorkers(t, addr, 1, func(cfg *lb.Config) { cfg.UpstreamTimeout = 5 * time.Second })
			c := dial(t, p.Addr())
			toWorker(t, c)
			write(t, c, plainPost("/a"))
			a := readAnswer(t, bufio.NewReader(c), http.MethodPost)
			if a.status < 500 || a.header.Get("Dengine-Outcome") != "unknown" {
				t.Errorf("%+v", a)
			}
			if n := writes.Load(); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			if _, returned := p.Worked(); returned != 1 {
				t.Errorf("workers gave %d back: the write was not theirs", returned)
			}
		})
	}
}

// A connection that the backend closed while it was idle costs nobody an answer: that is
// seen before a write goes out.
func TestWorkerLeavesStaleConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var open []net.Conn
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		mu.Lock()
		open = append(open, c)
		mu.Unlock()
		for {
			if _, _, err := readRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	p := startWorkers(t, addr, 1, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	for i := range 50 {
		write(t, c, plainPost("/a"))
		if a := readAnswer(t, r, http.MethodPost); a.body != "ok" {
			t.Fatalf("write %d: %+v", i, a)
		}
		mu.Lock()
		for _, one := range open {
			_ = one.Close()
		}
		open = nil
		mu.Unlock()
	}
	if answered, _ := p.Worked(); answered == 0 {
		t.Error("workers answered nothing")
	}
}

// What a client pipelines is answered in its order, whoever answers.
func TestWorkerAnswersInOrder(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, body, err := readRequest(r)
			if err != nil {
				return
			}
			said := req.URL.Path + string(body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(said), said)
		}
	})
	p := startWorkers(t, addr, 2, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	for round := range 20 {
		var all, want strings.Builder
		for i := range 30 {
			path := fmt.Sprintf("/%d/%d", round, i)
			switch i % 7 {
			case 3:
				all.WriteString(plainPost(path))
				path += "abc"
			case 5: // no plain one
				all.WriteString("POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n")
				path += "d"
			default:
				all.WriteString("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			want.WriteString(path)
		}
		// In pieces that end anywhere.
		for rest, n := all.String(), 1; len(rest) > 0; n = n*5%97 + 1 {
			n = min(n, len(rest))
			write(t, c, rest[:n])
			rest = rest[n:]
		}
		var got strings.Builder
		for range 30 {
			got.WriteString(readAnswer(t, r, http.MethodGet).body)
		}
		if got.String() != want.String() {
			t.Fatalf("round %d: got %s, want %s", round, got.String(), want.String())
		}
	}
	if answered, returned := p.Worked(); answered == 0 || returned == 0 {
		t.Errorf("workers answered %d and gave %d back: this was about one of the two", answered, returned)
	}
}

// held is a backend that answers /held when it is told to, and all else at once.
func held(t testing.TB) (addr string, came <-chan struct{}, answer chan<- struct{}) {
	asked, let := make(chan struct{}, 64), make(chan struct{})
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/held" {
				asked <- struct{}{}
				<-let
			}
			if _, err := io.WriteString(c, okAnswer); err != nil {
				return
			}
		}
	}), asked, let
}

// An answer that is late comes all the same, and the connection finds its way back.
func TestLateAnswerFindsItsClient(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	defer close(answer)
	p := startWorkers(t, addr, 1, func(cfg *lb.Config) { lb.Patient(cfg, 0) })
	c := dial(t, p.Addr())
	toWorker(t, c)
	write(t, c, plainPost("/held"))
	<-came
	eventually(t, "the worker to give the write up", func() bool { _, returned := p.Worked(); return returned == 1 })
	answer <- struct{}{}
	r := bufio.NewReader(c)
	if a := readAnswer(t, r, http.MethodPost); a.body != "ok" {
		t.Fatalf("%+v", a)
	}
	before, _ := p.Worked()
	for n := before; n == before; n, _ = p.Worked() {
		write(t, c, plainGet)
		if a := readAnswer(t, r, http.MethodGet); a.body != "ok" {
			t.Fatalf("%+v", a)
		}
	}
}

// A client that leaves takes nobody else's answer with it.
func TestClientLeavesAWorker(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	p := startWorkers(t, addr, 1, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	write(t, c, plainPost("/held"))
	<-came
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	eventually(t, "the client to be forgotten", func() bool { return p.Status().Clients.Open == 0 })
	close(answer)
	c = dial(t, p.Addr())
	toWorker(t, c)
	write(t, c, plainGet)
	if a := readAnswer(t, bufio.NewReader(c), http.MethodGet); a.body != "ok" {
		t.Errorf("%+v", a)
	}
}

// A balancer that ends answers what workers have in flight, and closes behind it; what is
// idle it closes at once.
func TestWorkersDrain(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	defer close(answer)
	p := startWorkers(t, addr, 2, nil)
	idle, busy := dial(t, p.Addr()), dial(t, p.Addr())
	toWorker(t, idle)
	toWorker(t, busy)
	write(t, busy, plainPost("/held"))
	<-came
	p.stop()
	if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an idle connection: %d bytes, %v", n, err)
	}
	answer <- struct{}{}
	if a := readAnswer(t, bufio.NewReader(busy), http.MethodPost); a.body != "ok" || a.header.Get("Connection") != "close" {
		t.Errorf("%+v", a)
	}
	if <-p.done; p.err != nil {
		t.Error(p.err)
	}
}

// What hangs at a worker does not hold up the end for longer than it may.
func TestWorkersAreCut(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	defer close(answer)
	p := startWorkers(t, addr, 1, func(cfg *lb.Config) { cfg.DrainTimeout = 10 * time.Millisecond })
	c := dial(t, p.Addr())
	toWorker(t, c)
	write(t, c, plainPost("/held"))
	<-came
	p.stop()
	if <-p.done; p.err == nil {
		t.Error("it says that all was answered")
	}
}

// Workers keep no connections that others wait for.
func TestWorkersShareFewConnections(t *testing.T) {
	t.Parallel()
	var open, most atomic.Int64
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		defer open.Add(-1)
		if n := open.Add(1); n > most.Load() {
			most.Store(n)
		}
		for {
			if _, _, err := readRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	p := startWorkers(t, addr, 2, func(cfg *lb.Config) { cfg.UpstreamConns = 1 })
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for i := range 100 {
				_, _ = io.WriteString(c, plainPost("/a"))
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("request %d: %v, %v", i, resp, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		})
	}
	clients.Wait()
	if n := most.Load(); n != 1 {
		t.Errorf("%d connections at once", n)
	}
	if s := p.Status().Requests; s.Writes != 400 || s.InFlight != 0 {
		t.Errorf("of 400 writes %d were counted, and %d are in flight", s.Writes, s.InFlight)
	}
}

// What is longer than it may be is refused, whoever has the connection.
func TestWorkersKeepLimits(t *testing.T) {
	t.Parallel()
	p := startWorkers(t, scripted(t, nil), 1, func(cfg *lb.Config) {
		cfg.Limits.HeaderBytes, cfg.Limits.BodyBytes = 4096, 1024
	})
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 5000) + "\r\n\r\n":              http.StatusRequestHeaderFieldsTooLarge,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("a", 2000): http.StatusRequestEntityTooLarge,
	} {
		c := dial(t, p.Addr())
		toWorker(t, c)
		write(t, c, request)
		if a := readAnswer(t, bufio.NewReader(c), http.MethodPost); a.status != want {
			t.Errorf("%.40q: %+v, want %d", request, a, want)
		}
	}
}

// Bytes behind an answer are nobody's answer, whether they come with it or later.
func TestUnaskedBytesReachNobody(t *testing.T) {
	t.Parallel()
	let := make(chan struct{}, 1)
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, okAnswer)
			if req.URL.Path == "/more" {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
				let <- struct{}{}
			}
		}
	})
	p := startWorkers(t, addr, 1, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	for range 50 {
		for _, path := range []string{"/more", "/next"} {
			write(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if a := readAnswer(t, r, http.MethodGet); a.body != "ok" {
				t.Fatalf("%s: %+v", path, a)
			}
			if path == "/more" {
				<-let
			}
		}
	}
}
