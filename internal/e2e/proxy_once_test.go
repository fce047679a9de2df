package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// TestProxiesSendWritesOnce: a write that reached a node which then broke the
// connection may have been applied. No proxy may send it again, though every
// other node would take it; a read they may.
func TestProxiesSendWritesOnce(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			fixedPorts(t)
			nodes := scriptedNodes(t)
			s.start(t)
			fresh := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
			kept := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{}}
			defer kept.CloseIdleConnections()
			for _, client := range []*http.Client{fresh, kept} {
				// The proxy knows the nodes, and has connections to them to reuse.
				for _, method := range []string{http.MethodGet, http.MethodPut} {
					harness.Eventually(t, method+" through the proxy", func() error {
						status, _, err := request(client, method, "/ready")
						if err == nil && status != 200 {
							err = fmt.Errorf("status %d", status)
						}
						return err
					})
				}
				sendsOnce(t, s, nodes, client, client == kept)
			}
		})
	}
}

// sendsOnce sends one write of each kind, and then a read, of which the first
// attempt meets a node that reads it and breaks the connection.
func sendsOnce(t *testing.T, s sample, nodes *scripted, client *http.Client, kept bool) {
	t.Helper()
	writes := []string{http.MethodPost, http.MethodPut, http.MethodDelete}
	if s.courteous {
		writes = append(writes, http.MethodPatch)
	}
	for _, method := range writes {
		nodes.reset()
		status, outcome, err := request(client, method, "/kv/x")
		if seen := nodes.reset(); len(seen) != 1 || seen[0] != method+" /kv/x" {
			t.Errorf("%s was sent %d times: %v", method, len(seen), seen)
		}
		switch {
		case err != nil && s.hangsUp && kept: // the client cannot but take it as in doubt
		case err != nil:
			t.Errorf("%s: %v", method, err)
		case status != 502 || s.courteous && outcome != "unknown":
			t.Errorf("%s was answered %d, outcome %q; want 502, unknown", method, status, outcome)
		}
	}
	if !s.courteous {
		return
	}
	status, _, err := request(client, http.MethodGet, "/kv/x")
	if seen := nodes.reset(); err != nil || status != 200 || len(seen) != 2 {
		t.Errorf("a read that broke on one node was answered %d (%v), and the nodes saw %v; want 200 from the second try", status, err, seen)
	}
}

// request sends a request through the proxy; all but GET carry a body.
func request(client *http.Client, method, path string) (status int, outcome string, err error) {
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequest(method, "http://"+proxyFront+path, body)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Dengine-Outcome"), err
}

// scripted is a stand-in for the three nodes, on their ports, where every one
// says that it leads: whatever a proxy would repeat finds a taker.
type scripted struct {
	mu   sync.Mutex
	seen []string // "METHOD /path" of what reached any node's API
}

// scriptedNodes serve until the test ends. The first request that reaches any of
// their APIs and does not ask for /ready is read whole, and then its connection
// is broken.
func scriptedNodes(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{}
	for i, id := range []string{"n1", "n2", "n3"} {
		serve(t, fmt.Sprintf("127.0.0.1:%d", 10001+i), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Dengine-Node", id)
		})
		serve(t, fmt.Sprintf("127.0.0.1:%d", 8081+i), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Dengine-Node", id)
			_, _ = io.Copy(io.Discard, r.Body) // a body that breaks off is as good as one that ends
			if r.URL.Path == "/ready" {
				return
			}
			if s.first(r.Method + " " + r.URL.Path) {
				panic(http.ErrAbortHandler) // closes the connection without an answer
			}
		})
	}
	return s
}

func (s *scripted) first(request string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, request)
	return len(s.seen) == 1
}

// reset forgets what was seen, and returns it.
func (s *scripted) reset() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func serve(t *testing.T, addr string, handler http.HandlerFunc) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: harness.Patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve %s: %v", addr, err)
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // what is still open is closed next
		_ = srv.Close()
		<-done
	})
}
