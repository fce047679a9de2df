package lb_test

import (
	"strings"
	"testing"
	"time"
)

// A body that stops in the middle is waited for as long as BodyTimeout says, whatever
// the header may take. The backend gets none of one that is read whole, and never all
// of one that streams.
func TestBodyThatStallsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ raw, outcome, arrives string }{
		"read whole": {"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nab", "not-applied", ""},
		"in chunks":  {"PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "not-applied", ""},
		"streamed":   {"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("a", 200_000), "unknown", "half: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, heads, _ := recorder(t, okAnswer)
			cfg := small(foreign(t, addr))
			cfg.Limits.HeaderTimeout, cfg.Limits.BodyBytes = time.Hour, 1<<20
			p := start(t, cfg)
			p.settled(t, 1, addr)
			got := raw(t, p.Addr(), c.raw)
			for _, want := range []string{"HTTP/1.1 408", "Connection: close", "Dengine-Outcome: " + c.outcome, "in time"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			if r := do(t, client(t), "GET", p.url("/next"), ""); r.status != 200 {
				t.Errorf("the next request got %+v", r)
			}
			if c.arrives != "" { // over a connection of its own: the next request may be there first
				if got := []string{<-heads, <-heads}; !strings.HasPrefix(got[0], c.arrives) && !strings.HasPrefix(got[1], c.arrives) {
					t.Errorf("the backend got %q", got)
				}
			} else if head := <-heads; !strings.HasPrefix(head, "GET /next") {
				t.Errorf("the backend got %q", head)
			}
		})
	}
}
