package lb_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/lb"
)

// BenchmarkProxyGet measures one GET after the other over loopback, through the
// balancer to a backend that allocates nothing, from a client that neither
// does: what is allocated is the balancer's.
func BenchmarkProxyGet(b *testing.B) {
	benchmarkProxy(b, benched{request: shortGet})
}

// BenchmarkServerGet is the same where no worker takes the connection over.
func BenchmarkServerGet(b *testing.B) {
	benchmarkProxy(b, benched{server: true, request: shortGet})
}

// BenchmarkServerPut is the same for a short write.
func BenchmarkServerPut(b *testing.B) {
	benchmarkProxy(b, benched{server: true, request: shortPut})
}

// BenchmarkProxyGetOwnWrites is the same for one that must see what was written.
func BenchmarkProxyGetOwnWrites(b *testing.B) {
	benchmarkProxy(b, benched{ownWrites: true, before: shortPut, request: shortGet})
}

// BenchmarkProxyPut is the same for a short write.
func BenchmarkProxyPut(b *testing.B) {
	benchmarkProxy(b, benched{request: shortPut})
}

// BenchmarkProxyPutNumbered is the same for one that carries a number.
func BenchmarkProxyPutNumbered(b *testing.B) {
	benchmarkProxy(b, benched{numbered: true, request: shortPut})
}

// BenchmarkProxyPutBundled is the same over a connection that writes share.
func BenchmarkProxyPutBundled(b *testing.B) {
	benchmarkProxy(b, benched{numbered: true, bundled: true, request: shortPut})
}

// BenchmarkServerPutBundled is the same where no worker takes the connection over.
func BenchmarkServerPutBundled(b *testing.B) {
	benchmarkProxy(b, benched{server: true, numbered: true, bundled: true, request: shortPut})
}

// BenchmarkProxyGetShared is a GET over a connection that reads share.
func BenchmarkProxyGetShared(b *testing.B) {
	benchmarkProxy(b, benched{shared: true, request: shortGet})
}

// In steady state a request allocates nothing, with the access log off; but for 24
// bytes of the server's own, where that and no worker answers, for a body, to see that
// it was read to its end (fasthttp v1.77.0, requestStream.discard).
func TestRequestsAllocateNothing(t *testing.T) {
	if harness.Race {
		t.Skip("with the race detector pools drop some of what they are given")
	}
	for name, c := range map[string]struct {
		bench func(*testing.B)
		most  int64
	}{
		"GET": {BenchmarkProxyGet, 0}, "GET of own writes": {BenchmarkProxyGetOwnWrites, 0}, "GET, shared": {BenchmarkProxyGetShared, 0},
		"GET, by the server": {BenchmarkServerGet, 0}, "PUT": {BenchmarkProxyPut, 0}, "PUT, by the server": {BenchmarkServerPut, 1},
		"PUT, numbered": {BenchmarkProxyPutNumbered, 1}, "PUT, in a bundle": {BenchmarkProxyPutBundled, 0},
		"PUT, in a bundle, by the server": {BenchmarkServerPutBundled, 1},
	} {
		r := testing.Benchmark(c.bench)
		if r.N == 0 {
			t.Errorf("%s: the benchmark failed", name)
		}
		if n := r.AllocsPerOp(); n > c.most {
			t.Errorf("%s: %d allocations each, of %d bytes together", name, n, r.AllocedBytesPerOp())
		}
	}
}

const (
	shortGet = "GET /kv/username HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	shortPut = "PUT /kv/username HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Length: 5\r\n\r\nalice"
)

// benched is a request and what it goes through.
type benched struct {
	server    bool   // there are no workers
	numbered  bool   // the backend keeps identities
	ownWrites bool   // reads see them
	shared    bool   // reads share connections
	bundled   bool   // writes do
	before    string // another request, sent once
	request   string
}

func benchmarkProxy(b *testing.B, what benched) {
	session := []byte("HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n" +
		`{"session":"00000000000000000000000000000001","window":1024,"timeout_ms":600000}`)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDengine-Node: n1\r\nDengine-Index: 12345\r\nContent-Length: 17\r\n\r\n" + `{"value":"alice"}`)
	addr := rawBackend(b, func(c net.Conn, r *bufio.Reader) {
		for {
			body, opens, bundles := false, false, false
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				body = body || bytes.HasPrefix(line, []byte("Content-Length: 5"))
				bundles = bundles || what.bundled && bytes.HasPrefix(line, []byte("GET /dengine/writes"))
				opens = opens || bytes.HasPrefix(line, []byte("POST /dengine/session"))
				if len(line) == 2 {
					break
				}
			}
			if body {
				if _, err := r.Discard(5); err != nil {
					return
				}
			}
			if bundles {
				answerFrames(c, r, answer)
				return
			}
			said := answer
			if opens {
				said = session
			}
			if _, err := c.Write(said); err != nil {
				return
			}
		}
	})
	cfg, leader := foreign(b, addr), addr
	if what.numbered {
		n := startNode(b, "n1")
		n.set(func(r *healthcheck.Report) { r.Identities = true })
		n.lead(2)
		cfg, leader = config(n), "n1"
		cfg.Backends[0].HTTP = addr
	}
	cfg.ReadYourWrites = what.ownWrites
	if what.server {
		cfg.Workers = 0
	}
	cfg.AccessLog = lb.AccessLogOff
	cfg.Checks.Interval = time.Hour // what checks allocate is no request's, and the slower the machine the more of it is to each
	if what.shared || what.bundled {
		lb.ShareHard(&cfg)
	}
	p := start(b, cfg)
	p.settled(b, 1, leader)
	if what.numbered {
		p.session(b, "open")
	}
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	exchange := func(req []byte) {
		if _, err := conn.Write(req); err != nil {
			b.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], []byte(`{"value":"alice"}`)); {
			m, err := conn.Read(buf[n:])
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
			n += m
		}
	}
	if what.before != "" {
		exchange([]byte(what.before))
	}
	req := []byte(what.request)
	// It is soon answered in the way that is measured; on a busy machine, later.
	arrived := func() bool {
		rides, _ := p.Rides()
		works := what.server || what.numbered && !what.bundled || p.worked() > 0
		return works && (!what.shared || rides > 0) && (!what.bundled || p.Bundled() > 0)
	}
	for n := 0; n < 100 || !arrived(); n++ {
		if exchange(req); n == 1_000_000 {
			b.Fatal("requests are not answered in the way that is measured")
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		exchange(req)
	}
}

// BenchmarkServerBesideWorkers is a GET that is the server's while a worker answers others:
// workers must leave the processors to the rest when they wait.
func BenchmarkServerBesideWorkers(b *testing.B) {
	p := startWorkers(b, scripted(b, nil), 2, nil)
	ask := func(c net.Conn, r *bufio.Reader, request string) {
		write(b, c, request)
		if a := readAnswer(b, r, http.MethodGet); a.status != http.StatusOK {
			b.Fatalf("%+v", a)
		}
	}
	stop := make(chan struct{})
	var beside sync.WaitGroup
	defer beside.Wait()
	defer close(stop)
	for range 2 {
		c := dial(b, p.Addr())
		toWorker(b, c)
		beside.Go(func() {
			for r := bufio.NewReader(c); ; {
				select {
				case <-stop:
					return
				default:
					ask(c, r, plainGet)
				}
			}
		})
	}
	c := dial(b, p.Addr())
	r := bufio.NewReader(c)
	for b.Loop() {
		ask(c, r, "GET /plain HTTP/1.1\r\nHost: x\r\nTe: trailers\r\n\r\n")
	}
}

// answerFrames gives every request of a bundle the same answer.
func answerFrames(c net.Conn, r *bufio.Reader, answer []byte) {
	if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+edge.BundleProtocol+"\r\n\r\n"); err != nil {
		return
	}
	frames, out := edge.NewFrameReader(r), []byte(nil)
	for {
		place, _, err := edge.NextFrame(frames)
		if err != nil {
			return
		}
		out = binary.BigEndian.AppendUint32(out[:0], uint32(len(answer)))
		out = append(binary.BigEndian.AppendUint32(out, place), answer...)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}
