package lb_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/lb"
	"github.com/valyala/fasthttp"
)

// storm has nodes break off, be slow and refuse, before writes are executed and after it,
// and answers GETs with their path, some of them late or at length.
func (k *keepers) storm(roll func(int) int) {
	slow := func() { time.Sleep(time.Duration(roll(30)) * time.Millisecond) }
	for _, n := range k.nodes {
		k.fail(n, fault{
			before: func(ctx *fasthttp.RequestCtx) bool {
				switch roll(300) {
				case 0:
					return hangUp(ctx)
				case 1:
					slow()
				case 2:
					problem(ctx, 503, "overloaded", "not-applied")
					return true
				}
				return false
			},
			after: func(ctx *fasthttp.RequestCtx) bool { return roll(300) == 0 && hangUp(ctx) },
		})
		n.answer(func(ctx *fasthttp.RequestCtx) {
			if !ctx.IsGet() {
				k.serve(n, ctx)
				return
			}
			long := ""
			switch roll(400) {
			case 0:
				_ = hangUp(ctx)
				return
			case 1:
				slow()
			case 2:
				long = strings.Repeat(" ", 70000)
			}
			ctx.SetBodyString(string(ctx.Path()) + long)
		})
	}
}

// stormClient sends requests over connections that it leaves now and then, some of them
// together, and says what must not be.
type stormClient struct {
	t       *testing.T
	addr    string
	id      int
	dice    *rand.Rand
	sent    int
	refused []string // paths of writes that were said not to be executed
}

// connection uses one, until over.
func (s *stormClient) connection(over <-chan struct{}) {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		s.t.Error(err)
	}
	r := bufio.NewReader(c)
	for range 1 + s.dice.IntN(200) {
		select {
		case <-over:
			return
		default:
		}
		var all strings.Builder
		var asked []*http.Request
		for range 1 + s.dice.IntN(4)*s.dice.IntN(2) {
			s.sent++
			path := fmt.Sprintf("/kv/c%d-%d", s.id, s.sent)
			method, body := http.MethodGet, ""
			if s.dice.IntN(2) == 0 {
				method, body = http.MethodPut, "Content-Length: 300\r\n\r\n"+strings.Repeat("x", 300)
			}
			fmt.Fprintf(&all, "%s %s HTTP/1.1\r\nHost: x\r\n%s", method, path, body)
			if body == "" {
				all.WriteString("\r\n")
			}
			req, err := http.NewRequest(method, path, nil)
			if err != nil {
				s.t.Error(err)
			}
			asked = append(asked, req)
		}
		_, _ = io.WriteString(c, all.String())
		if s.dice.IntN(40) == 0 { // nobody waits for these
			if s.dice.IntN(2) == 0 {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			return
		}
		for _, req := range asked {
			if !s.answered(r, req) {
				return
			}
		}
	}
}

// answered looks at an answer, and says whether the connection goes on.
func (s *stormClient) answered(r *bufio.Reader, req *http.Request) bool {
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		s.t.Errorf("%s %s: %v", req.Method, req.URL, err)
		return false
	}
	body, err := io.ReadAll(resp.Body)
	switch outcome := resp.Header.Get("Dengine-Outcome"); {
	case err != nil: // a long answer broke off
		return false
	case resp.StatusCode == http.StatusOK && strings.TrimRight(string(body), " ") != req.URL.Path:
		s.t.Errorf("%s %s got %.80q", req.Method, req.URL, body)
	case resp.StatusCode != http.StatusOK && outcome == "not-applied":
		s.refused = append(s.refused, req.URL.Path)
	case resp.StatusCode != http.StatusOK && req.Method == http.MethodPut && outcome != "unknown":
		s.t.Errorf("%s %s: %d %s, and no outcome", req.Method, req.URL, resp.StatusCode, body)
	}
	if n := resp.Header.Get("Dengine-Sequence"); n != "" {
		s.t.Errorf("%s %s: the client is told its number, %s", req.Method, req.URL, n)
	}
	return !resp.Close
}

// Whatever goes wrong, and however much of it at once: nobody gets what another asked
// for, no write is executed twice or said not to be executed when it was, and in the end
// everything that was counted or lent is where it was before.
func TestEverythingGoesWrongAtOnce(t *testing.T) {
	t.Parallel()
	k := startKeepers(t)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 2))
	roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return dice.IntN(n) }
	k.storm(roll)
	cfg := config(k.nodes...)
	cfg.Workers = 2
	p := k.start(t, cfg)

	over := make(chan struct{})
	stop := sync.OnceFunc(func() { close(over) })
	t.Cleanup(stop)
	var clients sync.WaitGroup
	all := make([]*stormClient, 16)
	for i := range all {
		s := &stormClient{t: t, addr: p.Addr(), id: i, dice: rand.New(rand.NewPCG(uint64(i), 3))}
		all[i] = s
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					s.connection(over)
				}
			}
		})
	}
	executed := func() (n int) { k.locked(func() { n = len(k.executed) }); return n }
	for round := range 60 {
		before := executed()
		eventually(t, "writes to go on", func() bool { return executed() >= before+300 })
		switch round % 4 {
		case 0:
			k.elect(k.nodes[roll(3)], uint64(3+round))
		case 1:
			cfg.UpstreamConns, cfg.Limits.HeaderBytes = []int{4, 8, 1024}[roll(3)], []int{4096, 16 << 10}[roll(2)]
			cfg.ShareReads = []lb.SharePolicy{lb.ShareNodes, lb.ShareNodes, lb.ShareNever}[roll(3)]
			if err := p.Reload(sameListeners(p, cfg)); err != nil {
				t.Error(err)
			}
		case 2:
			k.locked(func() {
				for id := range k.sessions {
					delete(k.sessions, id)
				}
			})
		}
	}
	stop()
	clients.Wait()
	k.all(t)
	for _, s := range all {
		for _, path := range s.refused {
			k.locked(func() {
				if k.executed[path] > 0 {
					t.Errorf("%s was executed, and said not to be", path)
				}
			})
		}
	}
	eventually(t, "everything to be given back", func() bool {
		s := p.Status()
		return s.Requests.InFlight == 0 && s.Session.InFlight == 0 && s.Clients.Open == 0 && len(p.Audit()) == 0
	})
	worked, returned := p.Worked()
	shared, left := p.Rides()
	t.Logf("workers answered %d, gave back %d; %d in bundles; %d shared, %d left; %+v", worked, returned, p.Bundled(), shared, left, p.Status().Session)
	if worked == 0 || returned == 0 || p.Bundled() == 0 || shared == 0 {
		t.Error("something of it was not tested")
	}
}

// A balancer ends in time, though a leader hangs under a write whose client has given up,
// or has left.
func TestRunEndsUnderAHungBundle(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"answered": false, "left": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKeepers(t)
			came, release := make(chan struct{}, 100), make(chan struct{})
			defer close(release)
			k.fail(k.nodes[0], fault{before: func(ctx *fasthttp.RequestCtx) bool {
				if string(ctx.Path()) == "/kv/hang" {
					came <- struct{}{}
					<-release
				}
				return false
			}})
			cfg := config(k.nodes...)
			cfg.Workers, cfg.DrainTimeout = 1, 10*time.Millisecond
			if !leaves {
				cfg.UpstreamTimeout, cfg.HoldTimeout, cfg.DrainTimeout = 5*time.Second, 5*time.Second, deadline/2
			}
			p := k.start(t, cfg)
			c := dial(t, p.Addr())
			p.ridesWrites(t, c)
			write(t, c, "PUT /kv/hang HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
			<-came
			if leaves {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				eventually(t, "the client to be forgotten", func() bool { return p.Status().Clients.Open == 0 })
			} else if a := readAnswer(t, bufio.NewReader(c), http.MethodPut); a.header.Get("Dengine-Outcome") != "unknown" {
				t.Errorf("%+v", a)
			}
			p.stop()
			select {
			case <-p.done:
			case <-time.After(deadline):
				t.Fatal("it does not end")
			}
			if errors.Is(p.err, lb.ErrDrain) != leaves {
				t.Errorf("it ended with %v", p.err)
			}
		})
	}
}

// ridesWrites writes until a worker sends what comes over c in a bundle.
func (p *proxy) ridesWrites(t *testing.T, c net.Conn) {
	t.Helper()
	r := bufio.NewReader(c)
	for inRow := 0; inRow < 3; {
		worked, bundled := p.worked(), p.Bundled()
		write(t, c, plainPost(fmt.Sprintf("/kv/warm%d-%d", worked, bundled)))
		if a := readAnswer(t, r, http.MethodPost); a.status != http.StatusOK {
			t.Fatalf("%+v", a)
		}
		if inRow++; p.worked() == worked || p.Bundled() == bundled {
			inRow = 0
		}
	}
}
