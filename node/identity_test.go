package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const sessionPath = "/dengine/session"

// openSession opens a session at a node and returns the header that names it.
func (c *cluster) openSession(i int) string {
	c.t.Helper()
	a := c.do("POST", c.api(i, sessionPath), "", "Dengine-Session: new")
	var s struct{ Session string }
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != 200 || len(s.Session) != 32 {
		c.t.Fatalf("%+v", a)
	}
	return "Dengine-Session: " + s.Session
}

// identified are writes with every kind of identity, and one that failed.
func identified(session string) map[string][]string {
	key := "Idempotency-Key: "
	return map[string][]string{
		"session":   {session, "Dengine-Sequence: 1"},
		"key":       {key + `"a quoted key"`},
		"both":      {session, "Dengine-Sequence: 2", key + "both"},
		"scoped":    {key + "both", "Authorization: Bearer me"},
		"condition": {session, "Dengine-Sequence: 3", "If-Match: \"zz\""},
	}
}

// first sends each of the writes once, each to a key of its own name.
func (c *cluster) first(writes map[string][]string) map[string]answer {
	c.t.Helper()
	out := make(map[string]answer)
	for name, headers := range writes {
		a := c.do("PUT", c.api(c.leader(), "/kv/"+name), "old", headers...)
		if want := map[bool]int{true: 412, false: 200}[name == "condition"]; a.status != want || a.header.Get("Idempotency-Replayed") != "" {
			c.t.Fatalf("%s: %+v", name, a)
		}
		out[name] = a
	}
	return out
}

// overwrite writes to the same keys without an identity.
func (c *cluster) overwrite(writes map[string][]string) {
	c.t.Helper()
	for name := range writes {
		if a := c.do("PUT", c.api(c.leader(), "/kv/"+name), "new"); a.status != 200 {
			c.t.Fatalf("%s: %+v", name, a)
		}
	}
}

// repeated sends the writes again and compares: the same answers, and nothing is
// undone.
func (c *cluster) repeated(writes map[string][]string, before map[string]answer) {
	c.t.Helper()
	l := c.leader()
	for name, headers := range writes {
		a := c.do("PUT", c.api(l, "/kv/"+name), "old", headers...)
		if a.status != before[name].status || a.body != before[name].body || a.header.Get("Idempotency-Replayed") != "true" {
			c.t.Errorf("%s: repeated: %+v; at first: %+v", name, a, before[name])
		}
		for _, h := range []string{"Etag", "Dengine-Writes", "Dengine-Index", "Dengine-Sequence", "Dengine-Outcome"} {
			if got, want := a.header.Get(h), before[name].header.Get(h); got != want {
				c.t.Errorf("%s: repeated: %s is %q, at first %q", name, h, got, want)
			}
		}
		if r := c.do("GET", c.api(l, "/kv/"+name), ""); r.body != `{"value":"new"}` {
			c.t.Errorf("%s: a repeat undid a newer write: %+v", name, r)
		}
	}
}

// Design, section 4: a repeat gets the stored answer, through a change of the
// leader.
func TestRepeatOnTheNextLeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	writes := identified(c.openSession(l))
	before := c.first(writes)
	if got := before["session"].header.Get("Dengine-Sequence"); got != "1" {
		t.Errorf("the answer to number 1 echoes %q", got)
	}
	c.overwrite(writes)
	c.repeated(writes, before)
	c.stop(l)
	c.repeated(writes, before)
	c.start(l)
	c.leader()
	c.sameState()
}

// And through a restart of all nodes, from snapshots that stand for the entries
// that the writes were in.
func TestRepeatAfterRestartFromSnapshot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady, func(cfg *node.Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 50, 10, 20*time.Millisecond
	})
	writes := identified(c.openSession(c.leader()))
	before := c.first(writes)
	c.overwrite(writes)
	at, err := strconv.ParseUint(before["condition"].header.Get("Dengine-Index"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at += uint64(len(writes)) // one of them came last
	harness.Eventually(t, "logs that begin after the writes", func() error {
		if _, err := c.nodes[c.leader()].Put(t.Context(), []byte("other"), []byte("v"), node.Condition{}); err != nil {
			return err
		}
		for _, n := range c.nodes {
			if s := n.Status(); s.Log.First <= at {
				return fmt.Errorf("%s: snapshot %+v, log %+v", s.ID, s.Snapshot, s.Log)
			}
		}
		return nil
	})
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	c.settle()
	c.repeated(writes, before)
	c.sameState()
}

// A copy of a write that arrives late, after many others, undoes none of them.
func TestLateCopyUndoesNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	n := c.nodes[l]
	s, err := n.OpenSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func(number, acked uint64, value string) (node.Result, error) {
		return n.Do(t.Context(), node.Write{Key: []byte("a"), Value: []byte(value), Identity: node.Identity{Session: s.ID, Sequence: number, Acked: acked}})
	}
	first, err := write(1, 0, "old")
	if err != nil {
		t.Fatal(err)
	}
	const many = 500
	for i := range uint64(many) {
		if _, err := write(2+i, i&^7/2, fmt.Sprint("new ", i)); err != nil { // at times it acknowledges half of them
			t.Fatal(err)
		}
	}
	late, err := write(1, 0, "old")
	if !errors.Is(err, node.ErrSequenceAnswered) || !errors.Is(err, node.ErrUnknown) || errors.Is(err, node.ErrNotApplied) {
		t.Errorf("a copy of what was acknowledged: %+v, %v", late, err)
	}
	kept, err := write(many, 0, "old")
	if err != nil || !kept.Replayed {
		t.Errorf("a copy of what was not: %+v, %v", kept, err)
	}
	v, err := n.Get(t.Context(), []byte("a"), node.ReadOptions{})
	if err != nil || string(v.Value) != fmt.Sprint("new ", many-1) || v.Writes != first.Writes+many {
		t.Errorf("%q after %d writes, %v", v.Value, v.Writes, err)
	}
}

// The cluster clock goes with the leader's: a session that nobody uses ends, one
// that is renewed does not.
func TestIdleSessionEnds(t *testing.T) {
	t.Parallel()
	const life = 5 * time.Second // a renewal must not come later than that
	c := startCluster(t, 3, steady, func(cfg *node.Config) { cfg.SessionTimeout = life })
	n := c.nodes[c.leader()]
	idle, err := n.OpenSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used, err := n.OpenSession(t.Context())
	if err != nil || idle.ID == used.ID || idle.Timeout != life || idle.Window != 1024 {
		t.Fatalf("%+v, %+v, %v", idle, used, err)
	}
	harness.Eventually(t, "the idle session to end", func() error {
		if err := n.RenewSession(t.Context(), used.ID, 0); err != nil {
			t.Fatalf("the one in use: %v", err)
		}
		if s := n.Status(); s.Kept.Sessions != 1 {
			return fmt.Errorf("%+v", s.Kept)
		}
		return nil
	})
	_, err = n.Do(t.Context(), node.Write{Key: []byte("a"), Value: []byte("late"), Identity: node.Identity{Session: idle.ID, Sequence: 1}})
	if !errors.Is(err, node.ErrSessionUnknown) || !errors.Is(err, node.ErrUnknown) {
		t.Errorf("a write of the idle one: %v", err)
	}
	if err := n.RenewSession(t.Context(), idle.ID, 0); !errors.Is(err, node.ErrSessionUnknown) || !errors.Is(err, node.ErrNotApplied) {
		t.Errorf("its renewal: %v", err)
	}
	if v, err := n.Get(t.Context(), []byte("a"), node.ReadOptions{}); err != nil || v.Found {
		t.Errorf("it was executed: %+v, %v", v, err)
	}
}

func TestSessionOverHTTP(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	if !c.role(l, "").Identities {
		t.Error("/role does not say that the node keeps identities")
	}
	opened := c.do("POST", c.api(l, sessionPath), "", "Dengine-Session: new")
	if opened.status != 200 || !strings.HasSuffix(opened.body, `","window":1024,"timeout_ms":60000}`) || opened.header.Get("Dengine-Index") == "" {
		t.Fatalf("%+v", opened)
	}
	session := c.openSession(l)
	gone := c.openSession(l)
	if a := c.do("DELETE", c.api(l, sessionPath), "", gone); a.status != 200 || a.body != "{}" {
		t.Fatalf("close: %+v", a)
	}
	f := c.others(l)[0]
	for _, s := range []struct {
		name, method, path string
		node               int
		headers            []string
		status             int
		code, outcome      string
		echoes             string
	}{
		{"renew", "PUT", sessionPath, l, []string{session}, 200, "", "", ""},
		{"renew with what is acknowledged", "PUT", sessionPath, l, []string{session, "Dengine-Acked: 5"}, 200, "", "", ""},
		{"acknowledged", "PUT", "/kv/a", l, []string{session, "Dengine-Sequence: 5"}, 409, "sequence_answered", "unknown", ""},
		{"next", "PUT", "/kv/a", l, []string{session, "Dengine-Sequence: 6", "Dengine-Acked: 5"}, 200, "", "", "6"},
		{"a delete", "DELETE", "/kv/a", l, []string{session, "Dengine-Sequence: 7"}, 200, "", "", "7"},
		{"a failed condition", "PUT", "/kv/a", l, []string{session, "Dengine-Sequence: 8", "If-Match: *"}, 412, "precondition_failed", "not-applied", "8"},
		{"too far ahead", "PUT", "/kv/a", l, []string{session, "Dengine-Sequence: 1030"}, 409, "sequence_beyond_window", "not-applied", ""},
		{"just not too far", "PUT", "/kv/a", l, []string{session, "Dengine-Sequence: 1029"}, 200, "", "", "1029"},
		{"a closed session", "PUT", "/kv/a", l, []string{gone, "Dengine-Sequence: 1"}, 409, "session_unknown", "unknown", ""},
		{"renew a closed one", "PUT", sessionPath, l, []string{gone}, 409, "session_unknown", "not-applied", ""},
		{"close it again", "DELETE", sessionPath, l, []string{gone}, 200, "", "", ""},
		{"with a key", "PUT", "/kv/b", l, []string{"Idempotency-Key: k"}, 200, "", "", ""},
		{"the key with another request", "PUT", "/kv/c", l, []string{"Idempotency-Key: k"}, 422, "idempotency_key_reused", "not-applied", ""},
		{"and a number", "PUT", "/kv/c", l, []string{"Idempotency-Key: k", session, "Dengine-Sequence: 9"}, 422, "idempotency_key_reused", "not-applied", "9"},
		{"another's key", "PUT", "/kv/c", l, []string{"Idempotency-Key: k", "Authorization: Basic x"}, 200, "", "", ""},
		{"open at a follower", "POST", sessionPath, f, []string{"Dengine-Session: new"}, 503, "not_leader", "not-applied", ""},
		{"renew at a follower", "PUT", sessionPath, f, []string{session}, 503, "not_leader", "not-applied", ""},
		{"write at a follower", "PUT", "/kv/a", f, []string{session, "Dengine-Sequence: 10"}, 503, "not_leader", "not-applied", ""},
		{"another method", "GET", sessionPath, l, []string{session}, 405, "method_not_allowed", "", ""},
	} {
		a := c.do(s.method, c.api(s.node, s.path), "v", s.headers...)
		if a.status != s.status || a.code() != s.code || a.header.Get("Dengine-Outcome") != s.outcome || a.header.Get("Dengine-Sequence") != s.echoes {
			t.Errorf("%s: %+v, want %d %q, outcome %q, number %q", s.name, a, s.status, s.code, s.outcome, s.echoes)
		}
	}
}

func TestBadIdentities(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	session := c.openSession(0)
	const number, some = "Dengine-Sequence: 1", "Dengine-Session: 00112233445566778899aabbccddeeff"
	for _, s := range []struct {
		method, path string
		headers      []string
		names        string
	}{
		{"PUT", "/kv/a", []string{session}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{number}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{"Dengine-Acked: 1"}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{session, "Dengine-Sequence: 0"}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{session, "Dengine-Sequence: "}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{session, "Dengine-Sequence: -1"}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{session, "Dengine-Sequence: 18446744073709551616"}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{session, number, "Dengine-Acked: x"}, "Dengine-Acked"},
		{"PUT", "/kv/a", []string{session, number, "Dengine-Acked: 1"}, "Dengine-Acked"},
		{"PUT", "/kv/a", []string{"Dengine-Session: new", number}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{some + "00", number}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{strings.Replace(some, "ee", "eg", 1), number}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{session, session, number}, "Dengine-Session"},
		{"PUT", "/kv/a", []string{session, number, number}, "Dengine-Sequence"},
		{"PUT", "/kv/a", []string{session, "Dengine-Sequence: 2", "Dengine-Acked: 1", "Dengine-Acked: 1"}, "Dengine-Acked"},
		{"POST", "/kv", []string{"Idempotency-Key: a", "Idempotency-Key: a"}, "Idempotency-Key"},
		{"DELETE", "/kv/a", []string{"Idempotency-Key: "}, "Idempotency-Key"},
		{"DELETE", "/kv/a", []string{"Idempotency-Key: a b"}, "Idempotency-Key"},
		{"DELETE", "/kv/a", []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, "Idempotency-Key"},
		{"DELETE", "/kv/a", []string{"Idempotency-Key: a", "Authorization: a", "Authorization: b"}, "Authorization"},
		{"POST", sessionPath, nil, "Dengine-Session"},
		{"POST", sessionPath, []string{session}, "Dengine-Session"},
		{"PUT", sessionPath, nil, "Dengine-Session"},
		{"PUT", sessionPath, []string{"Dengine-Session: new"}, "Dengine-Session"},
		{"PUT", sessionPath, []string{session, "Dengine-Acked: x"}, "Dengine-Acked"},
		{"DELETE", sessionPath, nil, "Dengine-Session"},
		{"DELETE", sessionPath, []string{session, session}, "Dengine-Session"},
	} {
		a := c.do(s.method, c.api(0, s.path), `{"key":"a","value":"v"}`, s.headers...)
		if a.status != 400 || a.code() != "bad_request" || !strings.Contains(a.body, s.names) || a.header.Get("Dengine-Outcome") != "not-applied" || a.header.Get("Dengine-Sequence") != "" {
			t.Errorf("%s %s with %q: %+v, want 400 that names %s", s.method, s.path, s.headers, a, s.names)
		}
	}
	if v, err := c.nodes[0].Get(t.Context(), []byte("a"), node.ReadOptions{}); err != nil || v.Found {
		t.Errorf("one of them was executed: %+v, %v", v, err)
	}
}

// A full table is backpressure: it refuses what is new and keeps what it owes.
func TestFullTablesOverHTTP(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.MaxSessions, cfg.MaxIdempotencyKeys = 1, 1 })
	session := c.openSession(0)
	put := func(headers ...string) answer { return c.do("PUT", c.api(0, "/kv/a"), "v", headers...) }
	if a := put("Idempotency-Key: first"); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	for what, a := range map[string]answer{
		"session": c.do("POST", c.api(0, sessionPath), "", "Dengine-Session: new"),
		"key":     put("Idempotency-Key: second"),
		"both":    put("Idempotency-Key: second", session, "Dengine-Sequence: 1"),
		"repeat":  put("Idempotency-Key: second", session, "Dengine-Sequence: 1"),
	} {
		if a.status != 503 || a.code() != "identities_full" || a.header.Get("Dengine-Outcome") != "not-applied" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", what, a)
		}
		if echoes := a.header.Get("Dengine-Sequence"); (echoes == "1") != (what == "both" || what == "repeat") {
			t.Errorf("%s: number %q", what, echoes)
		}
	}
	if a := put(session, "Dengine-Sequence: 2"); a.status != 200 {
		t.Errorf("a session's write: %+v", a)
	}
	if a := put("Idempotency-Key: first"); a.status != 200 || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the key that is kept: %+v", a)
	}
	metrics := c.do("GET", c.health(0, "/metrics"), "").body
	for _, line := range []string{
		"dengine_node_sessions 1", "dengine_node_session_answers 2", "dengine_node_idempotency_keys 1", "dengine_node_idempotency_bytes 277",
		"dengine_node_writes_replayed_total 2", "dengine_node_identities_full_total 4",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %q", line)
		}
	}
	if s := c.nodes[0].Status(); s.Kept != (node.KeptStatus{Sessions: 1, Answers: 2, Keys: 1, KeyBytes: 277}) {
		t.Errorf("status: %+v", s.Kept)
	}
}

// Whoever knows a session's id can take its numbers: it is shown to nobody but who
// opened it.
func TestSessionIDsAreSecret(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	core, logs := observer.New(zap.DebugLevel)
	n, err := node.Open(c.configs[0], zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[0] = n
	c.leader()
	session := c.openSession(0)
	id := strings.TrimPrefix(session, "Dengine-Session: ")
	seen := map[string]string{
		"write":   fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session, "Dengine-Sequence: 1")),
		"repeat":  fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session, "Dengine-Sequence: 1")),
		"error":   fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session)),
		"half":    fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session+"0", "Dengine-Sequence: 1")),
		"typo":    fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session[:len(session)-1]+"g", "Dengine-Sequence: 1")),
		"close":   fmt.Sprint(c.do("DELETE", c.api(0, sessionPath), "", session)),
		"unknown": fmt.Sprint(c.do("PUT", c.api(0, "/kv/a"), "v", session, "Dengine-Sequence: 2")),
		"status":  c.do("GET", c.health(0, "/status"), "").body,
		"metrics": c.do("GET", c.health(0, "/metrics"), "").body,
		"log":     fmt.Sprint(logs.All()),
	}
	if len(logs.All()) == 0 {
		t.Error("nothing was logged")
	}
	for what, text := range seen {
		if strings.Contains(strings.ToLower(text), id[:31]) {
			t.Errorf("%s shows the id", what)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", node.SessionID{0xab}, node.Session{ID: node.SessionID{0xab}}, node.SessionID{0xab}, node.SessionID{0xab}); strings.Contains(s, "171") || strings.Contains(s, "ab") {
		t.Errorf("printing shows the id: %s", s)
	}
}
