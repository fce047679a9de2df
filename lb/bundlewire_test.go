package lb_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/lb"
)

// answers scripts what a node says in a bundle: frames for a request at a place.
type answers func(place uint32, request *http.Request) []byte

func inFrame(place uint32, answer string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(answer)))
	return append(binary.BigEndian.AppendUint32(b, place), answer...)
}

func fine(r *http.Request) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nDengine-Node: n1\r\nDengine-Sequence: %s\r\nContent-Length: %d\r\n\r\n%s",
		r.Header.Get("Dengine-Sequence"), len(r.URL.Path), r.URL.Path)
}

// startBundler is a keeper that leads. The first write of a bundle it answers as the
// script says; all others, in bundles or not, rightly.
func startBundler(t *testing.T, first answers) (*node, *atomic.Int64) {
	var scripted atomic.Int64
	k := startKeepers(t)
	n := k.nodes[0]
	n.http = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") != "" {
				break
			}
			answer := fine(req)
			if req.URL.Path == "/dengine/session" {
				body := `{"session":"00000000000000000000000000000001","window":1024,"timeout_ms":600000}`
				answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
		}
		if _, err := c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: dengine-writes\r\n\r\n")); err != nil {
			return
		}
		frames := edge.NewFrameReader(r)
		for {
			place, block, err := edge.NextFrame(frames)
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(block))))
			if err != nil {
				t.Error(err)
				return
			}
			out := inFrame(place, fine(req))
			if scripted.Add(1) == 1 {
				out = first(place, req)
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	})
	return n, &scripted
}

// Nobody gets what a node says at the wrong place, of another write, or in a way that
// is not one whole answer: the connection ends, and the write is asked for again.
func TestBundleTakesOnlyWhatWasAsked(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]answers{
		"another place": func(p uint32, r *http.Request) []byte { return inFrame(p+1, fine(r)) },
		"far place":     func(p uint32, r *http.Request) []byte { return inFrame(edge.MaxPlaces, fine(r)) },
		"another write": func(p uint32, r *http.Request) []byte {
			r.Header.Set("Dengine-Sequence", "999")
			return inFrame(p, fine(r))
		},
		"two in one":   func(p uint32, r *http.Request) []byte { return inFrame(p, fine(r)+fine(r)) },
		"cut short":    func(p uint32, r *http.Request) []byte { return inFrame(p, fine(r)[:len(fine(r))-1]) },
		"no head":      func(p uint32, r *http.Request) []byte { return inFrame(p, "HTTP/1.1 200 OK\r\n") },
		"interim":      func(p uint32, r *http.Request) []byte { return inFrame(p, "HTTP/1.1 103 Early Hints\r\n\r\n") },
		"of no length": func(p uint32, r *http.Request) []byte { return inFrame(p, "HTTP/1.1 200 OK\r\n\r\n"+r.URL.Path) },
		"chunked": func(p uint32, r *http.Request) []byte {
			return inFrame(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		},
		"no frame":       func(uint32, *http.Request) []byte { return []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") },
		"an empty frame": func(p uint32, _ *http.Request) []byte { return inFrame(p, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, scripted := startBundler(t, first)
			cfg := config(n)
			lb.ShareHard(&cfg)
			p := start(t, cfg)
			p.settled(t, 1, "n1")
			p.session(t, "open")
			c := client(t)
			for i := 0; scripted.Load() < 3; i++ {
				path := fmt.Sprintf("/kv/%d", i)
				if r := do(t, c, "PUT", p.url(path), "x"); r.status != 200 || r.body != path {
					t.Fatalf("%s: got %+v", path, r)
				}
				if i > 10_000 {
					t.Fatal("no bundle")
				}
			}
			if s := p.Status().Session; s.Doubts == 0 || s.Replays == 0 {
				t.Errorf("session: %+v", s)
			}
		})
	}
}
