package failover

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/internal/once"
)

// store is a key-value service as a node has it, on one machine, which can be
// made to misbehave.
type store struct {
	mu      sync.Mutex
	values  map[string]seen
	lose    bool // acknowledge a put and forget it
	twice   bool // execute it twice
	lie     bool // execute it and say that it was not applied
	doubt   bool // execute it and say that nobody knows
	hangUp  bool // execute it and break the connection
	tricked int  // puts that were treated so
}

// once says whether this put is one of the few to be treated badly.
func (s *store) once(trick bool) bool {
	if !trick || s.tricked >= 3 {
		return false
	}
	s.tricked++
	return true
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a short one shows at the end
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/kv/")
	now := s.values[key]
	etag := fmt.Sprintf("%q", fmt.Sprint(now.writes))
	switch {
	case r.Method == http.MethodGet && now.writes == 0:
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		w.Header().Set("Dengine-Writes", fmt.Sprint(now.writes))
		fmt.Fprint(w, now.value)
	case r.Header.Get("If-None-Match") == "*" && now.writes > 0, r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != etag:
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		s.put(w, key, string(body), now)
	}
}

func (s *store) put(w http.ResponseWriter, key, value string, now seen) {
	if s.once(s.lose) {
		return
	}
	now = seen{value, now.writes + 1}
	if s.once(s.twice) {
		now.writes++
	}
	s.values[key] = now
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(now.writes)))
	switch {
	case s.once(s.lie):
		w.Header().Set("Dengine-Outcome", "not-applied")
		w.WriteHeader(http.StatusServiceUnavailable)
	case s.once(s.doubt):
		w.WriteHeader(http.StatusBadGateway)
	case s.once(s.hangUp):
		panic(http.ErrAbortHandler)
	}
}

// The benchmark must see what it is there to see.
func TestMisbehaviourIsSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                      string
		s                         *store
		failed                    bool
		lost, doubled, misreports bool
	}{
		{name: "well behaved", s: &store{}},
		{name: "forgets", s: &store{lose: true}, lost: true},
		{name: "executes twice", s: &store{twice: true}, doubled: true},
		{name: "says not applied", s: &store{lie: true}, failed: true, misreports: true},
		{name: "says unknown", s: &store{doubt: true}, failed: true},
		{name: "hangs up", s: &store{hangUp: true}, failed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.s.values = map[string]seen{}
			srv := httptest.NewServer(tt.s)
			defer srv.Close()
			addr := srv.Listener.Addr().String()
			l := NewLoad(Profile{Writes: 500, Reads: 100, InFlight: 100, Salvo: 10, Counters: 4, Value: 16})
			l.Start(addr)
			if n := l.Salvo(); n < 10 {
				t.Errorf("%d in flight after a salvo of 10", n)
			}
			l.awaitSuccesses(t, 100)
			l.Stop()
			losses, err := l.check([]*harness.Process{{Name: "n1", HTTP: addr}})
			if err != nil {
				t.Fatal(err)
			}
			got := []bool{l.tally.failed > 0, losses.Lost > 0, losses.Doubled > 0, losses.Misreported > 0}
			if want := []bool{tt.failed, tt.lost, tt.doubled, tt.misreports}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("failed, lost, doubled, misreported: %v, want %v\n%+v\n%+v", got, want, l.tally, losses)
			}
		})
	}
}

// An increment that was executed twice, with its first answer lost, ends in a
// condition that fails.
func TestConditionThatFailsIsADouble(t *testing.T) {
	t.Parallel()
	var l ledger
	c := l.newCounter("c")
	if !l.increment(c, time.Now(), once.Answer{Status: 200, ETag: `"1"`}, nil) || c.acked != 1 || c.etag != `"1"` {
		t.Errorf("%+v", c)
	}
	if l.increment(c, time.Now(), once.Answer{Status: 412}, nil) || l.tally.conditions != 1 {
		t.Errorf("%+v, %+v", c, l.tally)
	}
}

func TestJudgements(t *testing.T) {
	t.Parallel()
	good, none := seen{"k", 1}, seen{}
	for _, tt := range []struct {
		fate  once.Fate
		nodes []seen
		want  Losses
	}{
		{once.Acked, []seen{good, good, good}, Losses{}},
		{once.Acked, []seen{good, none, none}, Losses{Lost: 1}},
		{once.Acked, []seen{good, {"other", 1}, good}, Losses{Lost: 1}},
		{once.Acked, []seen{{"k", 2}, {"k", 2}, {"k", 2}}, Losses{Doubled: 1}},
		{once.Unknown, []seen{none, none, none}, Losses{}},
		{once.Unknown, []seen{good, good, good}, Losses{}},
		{once.Unknown, []seen{{"k", 2}, {"k", 2}, {"k", 2}}, Losses{Doubled: 1}},
		{once.Refused, []seen{none, none, none}, Losses{}},
		{once.Refused, []seen{good, good, good}, Losses{Misreported: 1}},
	} {
		var got Losses
		got.put("k", tt.fate, tt.nodes)
		got.Examples = nil
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("put, %d, %+v: %+v, want %+v", tt.fate, tt.nodes, got, tt.want)
		}
	}
	for _, tt := range []struct {
		acked uint64
		fate  once.Fate
		node  seen
		want  Losses
	}{
		{5, once.Acked, seen{"5", 5}, Losses{}},
		{5, once.Unknown, seen{"6", 6}, Losses{}},
		{5, once.Acked, seen{"3", 3}, Losses{Lost: 2}},
		{5, once.Acked, none, Losses{Lost: 5}},
		{5, once.Acked, seen{"6", 6}, Losses{Doubled: 1}},
		{5, once.Acked, seen{"5", 6}, Losses{Doubled: 1}},
		{5, once.Unknown, seen{"7", 7}, Losses{Doubled: 1}},
		{0, once.Unknown, none, Losses{}},
	} {
		var got Losses
		got.counter(&counter{key: "c", acked: tt.acked, fate: tt.fate}, []seen{tt.node})
		got.Examples = nil
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("counter, %d acknowledged, %d, %+v: %+v, want %+v", tt.acked, tt.fate, tt.node, got, tt.want)
		}
	}
}

func TestStallAtTheFault(t *testing.T) {
	t.Parallel()
	l := ledger{successes: []time.Duration{0, 10, 90, 130, 150, 400}}
	for _, tt := range []struct{ from, to, want time.Duration }{
		{100, 120, 40},  // under way
		{140, 160, 250}, // begins in it
		{5, 8, 10}, {500, 600, 0},
	} {
		if got := l.stallAt(tt.from, tt.to); got != tt.want {
			t.Errorf("%v to %v: %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestLongestGap(t *testing.T) {
	t.Parallel()
	s := time.Second
	for _, tt := range []struct {
		moments  []time.Duration
		from, to time.Duration
		want     time.Duration
	}{
		{nil, 1 * s, 5 * s, 4 * s},
		{[]time.Duration{2 * s, 3 * s}, 1 * s, 5 * s, 2 * s},           // to the end
		{[]time.Duration{4 * s}, 1 * s, 5 * s, 3 * s},                  // from the start
		{[]time.Duration{0, 2 * s, 4 * s, 9 * s}, 1 * s, 5 * s, 2 * s}, // only what is inside
	} {
		if _, got := longestGap(tt.moments, tt.from, tt.to); got != tt.want {
			t.Errorf("%v in %v to %v: %v, want %v", tt.moments, tt.from, tt.to, got, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	r := Row{StallP50: 50, StallMax: 120}
	r.Compare(Limit{P50: 40 * time.Millisecond, Max: 200 * time.Millisecond}, nil)
	if len(r.Over) != 1 || !strings.Contains(r.Over[0], "p50") {
		t.Errorf("%q", r.Over)
	}
	r = Row{StallMax: 120}
	r.Compare(Limit{AboveControl: 50 * time.Millisecond}, &Row{StallMax: 60})
	if len(r.Over) != 1 {
		t.Errorf("%q", r.Over)
	}
	r = Row{StallMax: 120}
	r.Compare(Limit{AboveControl: 50 * time.Millisecond}, &Row{StallMax: 80})
	if len(r.Over) != 0 {
		t.Errorf("%q", r.Over)
	}
}
