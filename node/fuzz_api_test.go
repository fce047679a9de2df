package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/harness"
	"go.uber.org/zap"
)

// alone is a node that is a cluster by itself and leads it, with other settings than usual.
func alone(f testing.TB, other ...func(*Config)) *Node {
	f.Helper()
	cfg := DefaultConfig()
	cfg.ID, cfg.DataDir = "n1", f.TempDir()
	cfg.RaftListen, cfg.HTTPListen, cfg.HealthListen = "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.InitialCluster = []Member{{ID: cfg.ID, Raft: "127.0.0.1:1"}} // nobody dials it
	cfg.ReadTimeout = 20 * time.Millisecond
	cfg.LeaseTimeout = cfg.HeartbeatTimeout
	for _, set := range other {
		set(&cfg)
	}
	n, err := Open(cfg, zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := n.Close(); err != nil {
			f.Error(err)
		}
	})
	harness.Eventually(f, "a leader", func() error {
		if r := n.Report(); !r.Primary {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	return n
}

// Whatever bytes come to the API's port, what is answered is HTTP, one answer to a
// request, none of them is a bug's, and a value that was stored is the one that the
// standard library's parser finds in the bytes.
func FuzzAPI(f *testing.F) {
	for _, in := range []string{
		"PUT /kv/a%2Fb HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /kv/a HTTP/1.1\r\nHost: x\r\nAccept: application/octet-stream\r\n\r\n",
		"POST /kv HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"key\":\"a\",\"value\":\"\\u00\"}",
		"POST /kv/get?consistency=eventual HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"keys\":[\"a\"]}",
		"GET /kv?prefix=a&limit=2 HTTP/1.1\r\nHost: x\r\nDengine-Min-Index: 0000000000000000000000000000001\r\n\r\n",
		"GET /kv/a?consistency=lease&max_staleness=1s HTTP/1.1\r\nHost: x\r\nIf-None-Match: W/\"1\", *\r\n\r\n",
		"DELETE http://x/kv/a HTTP/1.1\r\nHost: x\r\nIf-Match: \"1\"\r\nIdempotency-Key: \"k\"\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nDengine-Session: 00000000000000000000000000000000\r\nDengine-Sequence: 1\r\nContent-Length: 0\r\n\r\n",
		"POST /dengine/session HTTP/1.1\r\nHost: x\r\nDengine-Session: new\r\nContent-Length: 0\r\n\r\n",
		"GET http://x HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n",
		"GET http://x?/kv/a HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD /kv/missing HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD /kv HTTP/1.0\r\n\r\n",
	} {
		f.Add([]byte(in))
	}
	n := alone(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := fuzzkit.NewConn(in)
		go func() { _ = n.api.ServeConn(conn) }() // its end is the connection's
		answers := fuzzkit.Answers(t, in, conn.Answered(t))
		for _, a := range answers {
			if why := wrong(&a); why != "" {
				t.Errorf("%q: %s: %+v", in, why, a)
			}
		}
		if len(answers) == 1 {
			checkStored(t, n, &answers[0])
		}
	})
}

// wrong says what every answer of the API must be and this one is not, or "".
func wrong(a *fuzzkit.Answer) string {
	outcome := a.Header.Get(HeaderOutcome)
	write := a.To.Method != http.MethodGet && a.To.Method != http.MethodHead
	switch {
	case a.Header.Get(healthcheck.HeaderNode) != "n1" || a.Header.Get(HeaderIndex) == "":
		return "it does not say who answers, and from which state"
	case a.Status == http.StatusInternalServerError:
		return "a bug"
	case a.Status < 400:
		return ""
	case write && outcome != OutcomeNotApplied && outcome != OutcomeUnknown:
		return "nobody knows what became of the write"
	case a.To.Method == http.MethodHead:
		return ""
	}
	var said struct{ Error, Message string }
	if err := json.Unmarshal(a.Body, &said); err != nil || said.Error == "" || said.Message == "" {
		return "an error without a code and a message"
	}
	return ""
}

// checkStored reads back what a PUT of raw bytes has stored.
func checkStored(t *testing.T, n *Node, a *fuzzkit.Answer) {
	t.Helper()
	path, _, _ := strings.Cut(a.To.Target, "?")
	key, err := url.PathUnescape(strings.TrimPrefix(path, pathKVKey))
	if err != nil || a.To.Method != http.MethodPut || a.Status != http.StatusOK || !strings.HasPrefix(path, pathKVKey) ||
		isJSON([]byte(a.To.Header.Get("Content-Type"))) || a.Header.Get(HeaderReplayed) != "" {
		return
	}
	v, err := n.Get(context.Background(), []byte(key), ReadOptions{Level: Eventual})
	if err != nil || string(v.Value) != string(a.To.Body) {
		t.Errorf("%+v stored %q (%v)", a.To, v.Value, err)
	}
}
