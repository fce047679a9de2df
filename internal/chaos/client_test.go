package chaos

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// answerer answers every request as it is told to.
type answerer struct {
	status               int
	outcome, etag, body  string
	method, query, match string // of the last request
}

func (s *answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.method, s.query, s.match = r.Method, r.URL.RawQuery, r.Header.Get("If-Match")+r.Header.Get("If-None-Match")
	if s.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Dengine-Outcome", s.outcome)
	w.Header().Set("ETag", s.etag)
	w.WriteHeader(s.status)
	fmt.Fprint(w, s.body)
}

// newTestClient is one of a load that talks to a server, also where it would talk
// to the balancer.
func newTestClient(t *testing.T, s http.Handler, p Promise) *registrar {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	l := newLoad(DefaultProfile(), p, "k")
	l.begin = time.Now()
	at := newPlace(target{name: "n1", addr: srv.Listener.Addr().String()})
	l.front = at
	t.Cleanup(at.Close)
	return &registrar{client: l.newClientAt(at, random(1, 1))}
}

// Which answer becomes which operation; what was refused, and a read that failed,
// is none.
func TestWhatBecomesAnOperation(t *testing.T) {
	t.Parallel()
	put, cas := Op{Key: "k", Kind: Put, Value: "v"}, Op{Key: "k", Kind: CAS, Value: "v", Expect: "u"}
	read := Op{Key: "k", Kind: Read}
	for _, tt := range []struct {
		name string
		o    Op
		s    answerer
		want string // result and value; empty: no operation
	}{
		{"put", put, answerer{status: 200}, "ok v"},
		{"put refused", put, answerer{status: 503, outcome: "not-applied"}, ""},
		{"put in doubt", put, answerer{status: 504, outcome: "unknown"}, "unknown v"},
		{"put without a word", put, answerer{status: 502}, "unknown v"},
		{"put cut short", put, answerer{}, "unknown v"},
		{"delete", Op{Key: "k", Kind: Delete}, answerer{status: 200}, "ok "},
		{"CAS", cas, answerer{status: 200}, "ok v"},
		{"CAS that failed", cas, answerer{status: 412, outcome: "not-applied"}, "failed v"},
		{"CAS that failed, perhaps against itself", cas, answerer{status: 412, outcome: "unknown"}, "unknown v"},
		{"read", read, answerer{status: 200, body: "x"}, "ok x"},
		{"read of nothing", read, answerer{status: 404, body: `{"error":"key_not_found"}`}, "ok "},
		{"read that failed", read, answerer{status: 503, body: `{"error":"no_leader"}`}, ""},
		{"read of a wrong path", read, answerer{status: 404, body: `{"error":"not_found"}`}, ""},
		{"read cut short", read, answerer{}, ""},
	} {
		c := newTestClient(t, &tt.s, Promise{Level: "lease"})
		if tt.o.Kind == Read {
			c.read("k")
		} else {
			c.write(tt.o)
		}
		got := ""
		for _, o := range c.l.ops {
			got = fmt.Sprintf("%s %s", o.Result, o.Value)
			if unknown := o.Result == Unknown; unknown != (o.Return == Never) || unknown == (c.id == o.Client) {
				t.Errorf("%s: %+v by a client who is %d now", tt.name, o, c.id)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q; %+v", tt.name, got, tt.want, c.l.tally)
		}
	}
}

// A CAS is on what the client has last seen, once.
func TestCompareAndSetWhatWasSeen(t *testing.T) {
	t.Parallel()
	s := &answerer{status: 200, body: "x", etag: `"7"`}
	c := newTestClient(t, s, Promise{Level: "lease"})
	c.read("a")
	c.compareAndSet()
	if o := c.l.ops[1]; s.match != `"7"` || o.Key != "a" || o.Expect != "x" || o.Value == "" {
		t.Errorf("If-Match %s, %+v", s.match, o)
	}
	s.status, s.body = 404, `{"error":"key_not_found"}`
	c.read("b")
	s.status, s.body = 200, "{}"
	c.compareAndSet()
	if o := c.l.ops[3]; s.match != "*" || o.Key != "b" || o.Expect != "" {
		t.Errorf("If-None-Match %s, %+v", s.match, o)
	}
	c.write(Op{Key: "c", Kind: Delete})
	c.compareAndSet()
	if o := c.l.ops[5]; s.match != "*" || o.Key != "c" || o.Expect != "" {
		t.Errorf("after a delete: If-None-Match %s, %+v", s.match, o)
	}
}

func TestReadsAskForTheirLevel(t *testing.T) {
	t.Parallel()
	s := &answerer{status: 200}
	c := newTestClient(t, s, Promise{Level: "eventual", MaxStaleness: 500 * time.Millisecond})
	c.read("k")
	if want := "consistency=eventual&max_staleness=500ms"; s.query != want {
		t.Errorf("%s, want %s", s.query, want)
	}
	c = newTestClient(t, s, Promise{Level: "linearizable"})
	asked := map[string]bool{}
	for range 50 {
		c.read("k")
		asked[s.query] = true
	}
	if len(asked) != 2 || !asked[""] || !asked["consistency=linearizable"] {
		t.Errorf("asked with %v", asked)
	}
}

// Values are never written twice, whoever writes them.
func TestValuesAreUnique(t *testing.T) {
	t.Parallel()
	s := &answerer{status: 502} // every write is in doubt: every client is a new one
	c := newTestClient(t, s, Promise{Level: "lease"})
	for range 20 {
		c.write(Op{Key: "k", Kind: Put, Value: c.newValue()})
		s.status ^= 502 ^ 200
	}
	seen := map[string]bool{}
	for _, o := range c.l.ops {
		if seen[o.Value] {
			t.Errorf("%s was written twice", o.Value)
		}
		seen[o.Value] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d values, want 20", len(seen))
	}
}

// scripted gives its answers one after the other, the last one again and again.
type scripted struct {
	mu      sync.Mutex // an answer that is cut short orders nothing
	answers []answerer
	keys    []string // Idempotency-Key of each request
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next := s.next(r.Header.Get("Idempotency-Key"))
	next.ServeHTTP(w, r)
}

func (s *scripted) next(key string) answerer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
	next := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return next
}

// never loses no first answer.
func (c *client) never() {
	for r := uint64(0); ; r++ {
		c.random = random(r, 1)
		if !c.chance(lostAnswers) {
			c.random = random(r, 1)
			return
		}
	}
}

// A write is asked for under one key until what comes is what was made of it; what
// refuses one copy says nothing of those before.
func TestCertain(t *testing.T) {
	t.Parallel()
	acked, failed := answerer{status: 200, etag: `"7"`}, answerer{status: 412, outcome: "not-applied"}
	refused, doubt, silent := answerer{status: 503, outcome: "not-applied"}, answerer{status: 504, outcome: "unknown"}, answerer{}
	for _, tt := range []struct {
		name    string
		answers []answerer
		want    Result
		copies  int
	}{
		{"at once", []answerer{acked, refused}, OK, 1},
		{"failed", []answerer{failed, refused}, Failed, 1},
		{"refused", []answerer{refused, acked}, "", 1},
		{"in doubt, then not", []answerer{doubt, acked}, OK, 2},
		{"in doubt, and had failed", []answerer{doubt, failed}, Failed, 2},
		{"in doubt, then refused", []answerer{doubt, refused, refused, acked}, OK, 4},
		{"cut short", []answerer{silent, silent, acked}, OK, 3},
	} {
		s := &scripted{answers: tt.answers}
		c := newTestClient(t, s, Promise{Level: "lease"})
		c.never()
		o := c.certain(c.here, Op{Key: "k", Kind: CAS, Value: "v"})
		s.mu.Lock()
		if o.Result != tt.want || len(s.keys) != tt.copies {
			t.Errorf("%s: %q after %d copies, want %q after %d", tt.name, o.Result, len(s.keys), tt.want, tt.copies)
		}
		if noted := len(c.l.ops); (noted == 1) != (tt.want != "") {
			t.Errorf("%s: %d operations", tt.name, noted)
		}
		for _, key := range s.keys {
			if key == "" || key != s.keys[0] {
				t.Errorf("%s: keys %v", tt.name, s.keys)
			}
		}
		s.mu.Unlock()
	}
}
