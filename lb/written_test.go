package lb_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// indexed are nodes with log indexes. A write's body is the index of its answer. A
// read is answered with how far its node is, and remembered with what it asked for.
type indexed struct {
	nodes []*node

	mu    sync.Mutex
	far   map[string]uint64 // by node: the index of its answers to reads; 0: none
	asked []string          // "node: Dengine-Min-Index, …" of each read
}

// startIndexed starts nodes that are that far. The first leads in term 2.
func startIndexed(t testing.TB, far ...uint64) *indexed {
	s := &indexed{far: make(map[string]uint64)}
	for i, index := range far {
		n := startNode(t, "n"+strconv.Itoa(i+1))
		n.set(func(r *healthcheck.Report) { r.Applied, r.Commit = index, index })
		n.answer(func(ctx *fasthttp.RequestCtx) { s.serve(n, ctx) })
		s.nodes = append(s.nodes, n)
	}
	s.nodes[0].lead(2)
	return s
}

func (s *indexed) serve(n *node, ctx *fasthttp.RequestCtx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var min []string
	for _, v := range ctx.Request.Header.PeekAll("Dengine-Min-Index") {
		min = append(min, string(v))
	}
	if !ctx.IsGet() {
		if len(min) > 0 {
			s.asked = append(s.asked, "a write: "+strings.Join(min, ", "))
		}
		index, foreign := strings.CutPrefix(string(ctx.PostBody()), "foreign ")
		ctx.Response.Header.Set("Dengine-Index", index)
		if foreign {
			ctx.Response.Header.Del("Dengine-Node")
		}
		return
	}
	s.asked = append(s.asked, n.id+": "+strings.Join(min, ", "))
	if s.far[n.id] > 0 {
		ctx.Response.Header.Set("Dengine-Index", strconv.FormatUint(s.far[n.id], 10))
	}
	ctx.SetBodyString(n.id)
}

// take returns what was asked since the last time.
func (s *indexed) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// answers makes a node's answers to reads name an index.
func (s *indexed) answers(n *node, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.far[n.id] = index
}

// share sends that many reads and returns how many each node got.
func (s *indexed) share(t testing.TB, p *proxy, reads int) map[string]int {
	t.Helper()
	out := make(map[string]int)
	for range reads {
		r := do(t, client(t), "GET", p.url("/kv/a"), "")
		if r.status != 200 {
			t.Errorf("got %+v", r)
		}
		out[r.body]++
	}
	return out
}

func (s *indexed) put(t testing.TB, p *proxy, index string) {
	t.Helper()
	if r := do(t, client(t), "PUT", p.url("/kv/a"), index); r.status != 200 {
		t.Fatalf("PUT: %+v", r)
	}
}

// reached waits until the balancer knows the nodes to be that far.
func (p *proxy) reached(t testing.TB, far ...uint64) {
	t.Helper()
	eventually(t, "the nodes' progress to be known", func() bool {
		for i, be := range p.Status().Backends {
			if be.Reached != far[i] {
				return false
			}
		}
		return true
	})
}

func ownWrites(nodes ...*node) lb.Config {
	cfg := config(nodes...)
	cfg.ReadYourWrites = true
	return cfg
}

func TestReadsAskForWhatWasWritten(t *testing.T) {
	t.Parallel()
	s := startIndexed(t, 1)
	p := start(t, ownWrites(s.nodes...))
	p.settled(t, 1, "n1")
	c := client(t)
	get := func(want string, header ...string) {
		t.Helper()
		do(t, c, "GET", p.url("/kv/a"), "", header...)
		if asked := s.take(); len(asked) != 1 || asked[0] != "n1: "+want {
			t.Errorf("with %q: %q, want %q", header, asked, want)
		}
	}
	const name = "Dengine-Min-Index"
	get("")
	get("5", name, "5")
	s.put(t, p, "10")
	get("10")
	get("10", name, "5")
	get("20", name, "20")
	get("20", name, "5", name, "20")
	get("10", "dengine-MIN-index", "7")
	get("10", name, "")
	get("20", name, "20", "Connection", name)
	get("x", name, "x") // the node says what is wrong with it
	get("-1", name, "-1")
	s.put(t, p, "7") // the answer to a repeat, for example
	get("10")
	s.put(t, p, "foreign 1000")
	get("10")
	s.answers(s.nodes[0], 99) // reads are not writes
	get("10")
	get("10")
	s.put(t, p, "100")
	get("100")
	if r := do(t, c, "PUT", p.url("/kv/a"), "100", name, "3"); r.status != 200 {
		t.Errorf("got %+v", r)
	}
	if asked := s.take(); len(asked) != 1 || asked[0] != "a write: 3" {
		t.Errorf("a write's own: %q", asked)
	}
	if w := p.Status().Written; w != 100 {
		t.Errorf("/status: %d", w)
	}
	metrics := do(t, c, "GET", "http://"+p.AdminAddr()+"/metrics", "").body
	for _, line := range []string{"dengine_lb_written_index 100\n", `dengine_lb_backend_reached_index{backend="` + s.nodes[0].http + `"} 100`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics lacks %q", line)
		}
	}
	if err := p.Reload(config(s.nodes...)); err != nil { // without the setting
		t.Fatal(err)
	}
	get("")
	get("5", name, "5")
}

// Levels and bounds are between clients and nodes, and reads of every level go
// round all nodes.
func TestConsistencyPassesUntouched(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"plain": false, "read your writes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, heads, _ := recorder(t, "HTTP/1.1 200 OK\r\nDengine-Node: n1\r\nDengine-Index: 7\r\nContent-Length: 2\r\n\r\nok")
			cfg := foreign(t, addr)
			cfg.ReadYourWrites = own
			p := start(t, cfg)
			p.settled(t, 1, addr)
			raw(t, p.Addr(), "GET /kv/a?consistency=eventual&max_staleness=5s HTTP/1.1\r\nHost: x\r\ndengine-consistency: lease\r\nDengine-Max-Staleness: 1s\r\nDengine-Min-Index: 3\r\nConnection: close\r\n\r\n")
			want := "GET /kv/a?consistency=eventual&max_staleness=5s HTTP/1.1\r\nHost: x\r\ndengine-consistency: lease\r\nDengine-Max-Staleness: 1s\r\nDengine-Min-Index: 3\r\nX-Forw"
			if head := <-heads; !strings.HasPrefix(head, want) {
				t.Errorf("the backend got %q", head)
			}
			raw(t, p.Addr(), "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
			<-heads
			raw(t, p.Addr(), "GET /kv/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if head := <-heads; strings.Contains(head, "\r\nDengine-Min-Index: 7\r\n") != own {
				t.Errorf("after a write the backend got %q", head)
			}
			if w := p.Status().Written; w != map[bool]uint64{true: 7}[own] {
				t.Errorf("/status: %d", w)
			}
		})
	}
}

func TestReadsGoWhereTheWriteIsKnownToBe(t *testing.T) {
	t.Parallel()
	s := startIndexed(t, 9, 10, 3)
	p := start(t, ownWrites(s.nodes...))
	p.settled(t, 3, "n1")
	p.reached(t, 9, 10, 3)
	if got := s.share(t, p, 12); got["n1"] != 4 || got["n2"] != 4 || got["n3"] != 4 {
		t.Errorf("before any write: %v", got)
	}
	s.put(t, p, "10") // so far is n1, by its answer, and n2, by its report
	if got := s.share(t, p, 12); got["n1"] != 6 || got["n2"] != 6 {
		t.Errorf("n3 is behind: %v", got)
	}
	s.nodes[2].set(func(r *healthcheck.Report) { r.Applied, r.Commit = 10, 10 })
	p.reached(t, 10, 10, 10)
	if got := s.share(t, p, 12); got["n1"] != 4 || got["n2"] != 4 || got["n3"] != 4 {
		t.Errorf("n3 has caught up: %v", got)
	}
	s.answers(s.nodes[2], 11) // its answers tell before its reports
	s.share(t, p, 3)
	p.reached(t, 10, 10, 11)
	s.put(t, p, "11")
	if got := s.share(t, p, 12); got["n1"] != 6 || got["n3"] != 6 {
		t.Errorf("n3 is known to be there by its answers: %v", got)
	}
	// Where none is known to be that far, one is asked all the same.
	s.take()
	s.put(t, p, "20")
	unready(s.nodes[0])
	p.settled(t, 2, "")
	if got := s.share(t, p, 4); got["n2"] != 2 || got["n3"] != 2 {
		t.Errorf("nobody is known to be there: %v", got)
	}
	for _, asked := range s.take() {
		if !strings.HasSuffix(asked, ": 20") {
			t.Errorf("asked %q", asked)
		}
	}
}

// After a write the others are asked how far they are: they are there a moment
// later, and reads must not all go to the leader until the next check.
func TestWriteAsksHowFarTheOthersAre(t *testing.T) {
	t.Parallel()
	s := startIndexed(t, 1, 1)
	cfg := ownWrites(s.nodes...)
	cfg.Checks.Interval = time.Hour
	p := start(t, cfg)
	p.settled(t, 2, "n1")
	n2 := s.nodes[1]
	n2.mu.Lock()
	n2.report.Applied = 10 // in the same epoch: no long poll ends
	n2.mu.Unlock()
	s.put(t, p, "10")
	p.reached(t, 10, 10)
}

// While writes go on, the others' reports are always a little older than the last of
// them. Who follows closely gets its share of the reads all the same, and who does
// not gets none.
func TestReadsSpreadWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	s := startIndexed(t, 1, 1, 1)
	p := start(t, ownWrites(s.nodes...))
	p.settled(t, 3, "n1")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		c, tick := client(t), time.NewTicker(5*time.Millisecond)
		defer tick.Stop()
		since := make(map[uint64]time.Time) // when each was written
		applied := uint64(9)
		for index := uint64(10); ; index++ {
			n2 := s.nodes[1]
			n2.mu.Lock()
			for applied+1 < index && time.Since(since[applied+1]) > 20*time.Millisecond {
				applied++
			}
			n2.report.Applied = applied // as a report is that was made 20 ms ago
			n2.mu.Unlock()
			if r, err := try(c, "PUT", p.url("/kv/a"), strconv.FormatUint(index, 10)); err != nil || r.status != 200 {
				t.Errorf("PUT: %+v, %v", r, err)
			}
			since[index] = time.Now()
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	eventually(t, "a first write", func() bool { return p.Status().Written > 0 })
	s.share(t, p, 10)
	got := make(map[string]int)
	eventually(t, "n2 to get a share", func() bool {
		for id, n := range s.share(t, p, 10) {
			got[id] += n
		}
		return got["n2"] >= 20
	})
	end()
	if got["n1"] == 0 || got["n3"] > 0 {
		t.Errorf("%v", got)
	}
}

// That no node is as far as the balancer asks is for the moment; as far as a client
// asks may be never.
func TestReadWaitsForTheBalancersIndexOnly(t *testing.T) {
	t.Parallel()
	s := startIndexed(t, 1, 1, 1)
	p := start(t, ownWrites(s.nodes...))
	p.settled(t, 3, "n1")
	s.put(t, p, "10")
	var mu sync.Mutex
	far := uint64(5)
	for _, n := range s.nodes {
		n.answer(func(ctx *fasthttp.RequestCtx) {
			mu.Lock()
			defer mu.Unlock()
			if min, err := strconv.ParseUint(string(ctx.Request.Header.Peek("Dengine-Min-Index")), 10, 64); err != nil || min > far {
				ctx.SetStatusCode(503)
				ctx.SetBodyString(`{"error":"behind","message":"m"}`)
				return
			}
			ctx.SetBodyString(n.id)
		})
	}
	if r := do(t, client(t), "GET", p.url("/kv/a"), "", "Dengine-Min-Index", "1000"); r.status != 503 || r.code() != "behind" {
		t.Errorf("a client's own: %+v", r)
	}
	answer := async(client(t), "GET", p.url("/kv/a"), "")
	eventually(t, "the read to be held", func() bool { return p.Status().Held.Now == 1 })
	mu.Lock()
	far = 10
	mu.Unlock()
	if r := await(t, answer); r.status != 200 {
		t.Errorf("got %+v", r)
	}
}
