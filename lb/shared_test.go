package lb_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
)

// allShared in the environment makes every balancer of these tests let reads share
// connections as soon as there is one to share.
const allShared = "DENGINE_LB_TEST_ALL_SHARED"

// again are the tests of what comes in and goes out, and of what is sent twice. Not
// among them are those that count connections or how reads are spread: a read that is
// behind another goes elsewhere at once.
const again = "Ambiguous|Chunked|Headers|Forwarded|Pipelined|Unasked|Bounded|Stream|LargeBodies|EmptyAnswers|HTTP|Upgrade|" +
	"Read(Is|Fails|Asks|Waits|LeavesTheOnly|Stays)|HungNode|SlowRead|Lost|Unknown|Doubt|ExecutedOnce|Limit|BeforeTheBody|Drain|" +
	"HalfClosed|Numbered|Session|RefusedWrite|HeldWrite|Leaving|SlowWrite|FuzzForward|FuzzAnswer|RefusalThat|MultiGet|ReadsGoWhere|ReadsSpread"

// What holds for a request by itself holds for one that shares its connection.
func TestAllOfItShared(t *testing.T) {
	t.Parallel()
	if os.Getenv(allShared) != "" {
		t.Skip("this is it")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", again, "-test.timeout", "15m")
	cmd.Env = append(os.Environ(), allShared+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// unruly is a backend that answers GET /ID with ID, and breaks off, waits, or frames
// its answer in another way now and then. It says how many requests it found behind another.
func unruly(t testing.TB, seed uint64) string {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return dice.IntN(n) }
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		out := bufio.NewWriter(c)
		defer out.Flush()
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			id := strings.TrimPrefix(req.URL.Path, "/")
			whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
			switch roll(400) {
			case 0:
				return
			case 1:
				_, _ = out.WriteString(whole[:roll(len(whole))])
				return
			case 2:
				_, _ = out.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole)
			case 3:
				_, _ = out.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + id)
				return
			case 4:
				fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(id), id)
			case 5:
				_ = out.Flush()
				time.Sleep(450 * time.Millisecond) // longer than a worker waits
				_, _ = out.WriteString(whole)
			case 6:
				fmt.Fprintf(out, "HTTP/1.1 404 Not Found\r\nX-Id: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", id, len(id), id)
				return
			case 7:
				_, _ = out.WriteString(whole[:len(whole)-1])
				_ = out.Flush()
				time.Sleep(time.Millisecond)
				_, _ = out.WriteString(whole[len(whole)-1:])
			case 8:
				fmt.Fprintf(out, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
			case 9:
				fmt.Fprintf(out, "HTTP/1.1 203 Long\r\nContent-Length: %d\r\n\r\n%s%s", 70000+len(id), id, strings.Repeat(" ", 70000))
			default:
				_, _ = out.WriteString(whole)
			}
			if r.Buffered() == 0 || roll(3) == 0 {
				if out.Flush() != nil {
					return
				}
			}
		}
	})
}

// However backends break off, wait and frame, nobody ever gets what another asked
// for, and nobody gets an error.
func TestSharedConnectionsNeverMixAnswers(t *testing.T) {
	t.Parallel()
	cfg := config()
	for i := range 3 {
		addr := unruly(t, uint64(i))
		cfg.Backends = append(cfg.Backends, lb.Backend{HTTP: addr, Health: alwaysPrimary(t)})
	}
	cfg.Checks.Mode = "poll"
	lb.ShareHard(&cfg)
	p := start(t, cfg)
	eventually(t, "three readers", func() bool {
		n := 0
		for _, be := range p.Status().Backends {
			if be.Ready {
				n++
			}
		}
		return n == 3
	})
	const clients, each = 32, 150
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := dial(t, p.Addr())
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
				t.Error(err)
				return
			}
			r := bufio.NewReader(c)
			for n := range each {
				id := fmt.Sprintf("c%d-%d-%s", i, n, strings.Repeat("x", (i*7+n*13)%200))
				if _, err := io.WriteString(c, "GET /"+id+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Errorf("client %d, request %d: %v", i, n, err)
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Errorf("client %d, request %d: %v", i, n, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || strings.TrimRight(string(body), " ") != id {
					t.Errorf("client %d asked for %q and got %d %q, %v", i, id, resp.StatusCode, body, err)
					return
				}
			}
		})
	}
	wg.Wait()
	answered, left := p.Rides()
	t.Logf("%d of %d shared, %d left", answered, clients*each, left)
	if answered == 0 {
		t.Error("no read shared a connection: nothing was tested")
	}
}

// lined is a backend that answers what comes over one connection strictly in order:
// GET /ID with /ID and what is to come after each, GET /slow only once slow is closed, and
// what is behind that once the test ends. slowCame says that it waits.
func lined(t testing.TB, after string) (addr string, slow, slowCame chan struct{}) {
	slow, slowCame = make(chan struct{}), make(chan struct{}, 100)
	over := make(chan struct{})
	addr = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/slow" {
				slowCame <- struct{}{}
				<-slow
			}
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(req.URL.Path), req.URL.Path, after); err != nil {
				return
			}
			if req.URL.Path == "/slow" {
				<-over
			}
		}
	})
	t.Cleanup(func() { close(over) })
	return addr, slow, slowCame
}

// A read whose answer takes its time keeps the connection for itself. Those behind
// it are answered without it, and it gets its own answer in the end.
func TestSlowAnswerHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	addr, slow, came := lined(t, "")
	p := startWorkers(t, addr, 1, func(cfg *lb.Config) {
		lb.ShareHard(cfg)
		lb.Patient(cfg, 3*time.Second)
	})
	release := sync.OnceFunc(func() { close(slow) })
	t.Cleanup(release)
	late := dial(t, p.Addr())
	toWorker(t, late)
	var behind []net.Conn
	for range 8 {
		c := dial(t, p.Addr())
		toWorker(t, c)
		behind = append(behind, c)
	}
	write(t, late, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-came
	for i, c := range behind {
		write(t, c, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i))
	}
	for i, c := range behind {
		if a := readAnswer(t, bufio.NewReader(c), http.MethodGet); a.status != 200 || a.body != fmt.Sprintf("/%d", i) {
			t.Errorf("behind the slow one: %+v", a)
		}
	}
	if _, left := p.Rides(); left == 0 {
		t.Error("no read was behind it: nothing was tested")
	}
	release()
	if a := readAnswer(t, bufio.NewReader(late), http.MethodGet); a.status != 200 || a.body != "/slow" {
		t.Errorf("the slow one: %+v", a)
	}
	c := client(t)
	for range 10 { // its connection, on which those of others would follow, serves nobody
		if r := do(t, c, "PUT", p.url("/after"), ""); r.body != "/after" {
			t.Errorf("afterwards: %+v", r)
		}
	}
	if len(came) != 0 {
		t.Error("the slow one was sent again")
	}
}

// What a backend says unasked is nobody's answer.
func TestAnswerNobodyAskedForIsDropped(t *testing.T) {
	t.Parallel()
	addr, _, _ := lined(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
	cfg := foreign(t, addr)
	lb.ShareHard(&cfg)
	p := start(t, cfg)
	p.settled(t, 1, addr)
	c := client(t)
	for i := range 50 {
		if r := do(t, c, "GET", p.url(fmt.Sprintf("/%d", i)), ""); r.body != fmt.Sprintf("/%d", i) {
			t.Fatalf("request %d: %+v", i, r)
		}
	}
}

// What is behind an answer that has no body, or after which the connection ends, is not
// taken for the answer of the next read on the connection, whatever the answer says.
func TestNextReadGetsNothingBehindOddAnswers(t *testing.T) {
	t.Parallel()
	const wrong = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
	for name, said := range map[string]string{
		"not modified": fmt.Sprintf("HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n", len(wrong)),
		"no content":   fmt.Sprintf("HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n", len(wrong)),
		"the last one": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"an old one":   "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			came, let := make(chan struct{}), make(chan struct{})
			addr := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				for {
					req, _, err := readRequest(r)
					if err != nil {
						return
					}
					answer := okAnswer
					switch req.URL.Path {
					case "/held":
						came <- struct{}{}
						<-let
					case "/odd":
						answer = said + wrong
					}
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
				}
			})
			p := startWorkers(t, addr, 1, func(cfg *lb.Config) {
				lb.ShareHard(cfg)
				cfg.UpstreamConns = 1
			})
			var conns []net.Conn
			for range 3 {
				c := dial(t, p.Addr())
				toWorker(t, c)
				conns = append(conns, c)
			}
			before := p.Attempts(addr)
			for i, path := range []string{"/held", "/odd", "/next"} {
				write(t, conns[i], "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
				// A client that has its answer may be faster than its connection is on the way to the worker.
				eventually(t, "one behind the other", func() bool { return p.Attempts(addr) == before+uint64(i)+1 })
			}
			<-came
			close(let)
			if a := readAnswer(t, bufio.NewReader(conns[2]), http.MethodGet); a.status != 200 || a.body != "ok" {
				t.Errorf("the next one got %d %q", a.status, a.body)
			}
			if _, left := p.Rides(); left == 0 {
				t.Error("no read was behind it: nothing was tested")
			}
		})
	}
}
