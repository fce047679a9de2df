package lb_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
)

// A client that pipelines and does not read for a while gets each answer whole, whoever
// the next request is for: a worker, or the server.
func TestWorkerAnswersSlowReaders(t *testing.T) {
	t.Parallel()
	const n, repeats = 200, 3750
	body := func(path string) string { return strings.Repeat(fmt.Sprintf("%-16s", path), repeats) }
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			said := body(req.URL.Path)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(said), said)
		}
	})
	for name, lines := range map[string]string{"plain": "", "for the server": "Connection: x-a\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startWorkers(t, addr, 1, nil)
			c := dial(t, p.Addr())
			_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
			toWorker(t, c)
			var all strings.Builder
			for i := range n {
				more := lines
				if i%2 == 0 {
					more = ""
				}
				fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n%s\r\n", i, more)
			}
			write(t, c, all.String())
			// Until nothing goes on any more, since all sockets on the way are full.
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for last := uint64(0); last == 0 || p.worked() != last; <-tick.C {
				last = p.worked()
			}
			r := bufio.NewReader(c)
			for i := range n {
				if a := readAnswer(t, r, http.MethodGet); a.body != body(fmt.Sprintf("/%d", i)) {
					t.Fatalf("answer %d: %d bytes, %.40q", i, len(a.body), a.body)
				}
			}
		})
	}
}

// What a backend sends behind an answer that a worker leaves to the server is nobody's
// answer either, also where that ends just where a buffer does.
func TestBytesBehindAnswersOfTheServer(t *testing.T) {
	t.Parallel()
	const size, length = 16 << 10, 16300 // the buffer's is that of heads
	head := fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\nX: ", length)
	full := head + strings.Repeat("p", size-length-len(head)-len("\r\n\r\n")) + "\r\n\r\n" + strings.Repeat("b", length)
	addr := scripted(t, map[string]string{"/busy": full + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"})
	p := startWorkers(t, addr, 1, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	for range 3 {
		for path, want := range map[string]int{"/busy": http.StatusServiceUnavailable, "/next": http.StatusOK} {
			write(t, c, plainPost(path))
			if a := readAnswer(t, r, http.MethodPost); a.status != want || a.body == "wrong" {
				t.Fatalf("%s: %d %.20q", path, a.status, a.body)
			}
		}
	}
}

// A write that a worker has sent is not refused as if it had not been, by settings that
// came later.
func TestReloadUnderAWriteOfAWorker(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	defer close(answer)
	var cfg lb.Config
	p := startWorkers(t, addr, 1, func(c *lb.Config) { lb.Patient(c, 0); cfg = *c })
	c := dial(t, p.Addr())
	toWorker(t, c)
	write(t, c, "POST /held HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 6000)+"\r\nContent-Length: 3\r\n\r\nabc")
	<-came
	cfg.Limits.HeaderBytes = 4096
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, bufio.NewReader(c), http.MethodPost); a.header.Get("Dengine-Outcome") != "unknown" {
		t.Errorf("%d %s, outcome %q", a.status, a.body, a.header.Get("Dengine-Outcome"))
	}
}

// A backend is put aside for a path that hangs only if it answers nothing else: what it
// answers to workers counts.
func TestAnswersToWorkersCount(t *testing.T) {
	t.Parallel()
	addr, _, answer := held(t)
	defer close(answer)
	other := scripted(t, nil)
	cfg := foreign(t, addr)
	cfg.Workers, cfg.ShareReads, cfg.ReadAttemptTimeout = 1, lb.ShareNever, time.Second
	cfg.Backends = append(cfg.Backends, lb.Backend{HTTP: other, Health: alwaysPrimary(t)})
	p := start(t, cfg)
	eventually(t, "both to be ready", func() bool {
		s := p.Status()
		return s.Backends[0].Ready && s.Backends[1].Ready
	})
	busy := dial(t, p.Addr())
	r := bufio.NewReader(busy)
	get := func() {
		write(t, busy, plainGet)
		if a := readAnswer(t, r, http.MethodGet); a.body != "ok" {
			t.Fatalf("%+v", a)
		}
	}
	for range 10 {
		get()
	}
	for range 3 {
		hung := async(client(t), "GET", p.url("/held"), "")
		for done := false; !done; {
			select {
			case <-hung: // the other one answered in the end
				done = true
			default:
				get()
			}
		}
	}
	before := p.Attempts(addr)
	for range 100 {
		get()
	}
	if n := p.Attempts(addr) - before; n < 25 {
		t.Errorf("%d of 100 reads went to a backend that answers all but one path", n)
	}
}

// Whoever needs a connection to a backend gets one that lies idle at a worker, or that
// becomes free there.
func TestWorkersGiveBackWhatOthersWaitFor(t *testing.T) {
	t.Parallel()
	addr, came, answer := held(t)
	defer close(answer)
	p := startWorkers(t, addr, 2, func(cfg *lb.Config) {
		cfg.UpstreamConns, cfg.ConnectTimeout, cfg.HoldTimeout = 1, 10*time.Second, time.Second
	})
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	ask := func(c net.Conn, r *bufio.Reader) {
		t.Helper()
		write(t, c, plainGet)
		if a := readAnswer(t, r, http.MethodGet); a.body != "ok" {
			t.Fatalf("%+v", a)
		}
	}
	for answered := uint64(0); answered == 0; answered, _ = p.Worked() {
		ask(c, r)
	}
	second := dial(t, p.Addr())
	ask(second, bufio.NewReader(second)) // the one connection is idle at the worker

	for before, now := p.worked(), p.worked(); now == before; now = p.worked() {
		ask(c, r)
	}
	write(t, c, plainPost("/held"))
	<-came
	third := dial(t, p.Addr())
	write(t, third, plainPost("/third"))
	eventually(t, "another request to wait", func() bool { return p.Status().Requests.InFlight == 2 })
	answer <- struct{}{}
	if a := readAnswer(t, bufio.NewReader(third), http.MethodPost); a.body != "ok" {
		t.Errorf("%+v", a)
	}
	if a := readAnswer(t, r, http.MethodPost); a.body != "ok" {
		t.Errorf("%+v", a)
	}
}

func (p *proxy) worked() uint64 { answered, _ := p.Worked(); return answered }

// A backend that says it closes the connection is believed, whether it does or not.
func TestWorkerBelievesConnectionClose(t *testing.T) {
	t.Parallel()
	addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for n := 0; ; n++ {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			said := okAnswer
			switch {
			case req.URL.Path == "/last":
				said, n = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 1000
			case n > 1000:
				said = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
			}
			_, _ = io.WriteString(c, said)
		}
	})
	p := startWorkers(t, addr, 1, nil)
	c := dial(t, p.Addr())
	toWorker(t, c)
	r := bufio.NewReader(c)
	for range 5 {
		for _, path := range []string{"/last", "/next"} {
			write(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if a := readAnswer(t, r, http.MethodGet); a.body != "ok" || a.header.Get("Connection") != "" {
				t.Fatalf("%s: %+v", path, a)
			}
		}
	}
	if p.worked() == 0 {
		t.Error("workers answered nothing")
	}
}
