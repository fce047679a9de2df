package edge_test

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap/zaptest"
)

// serve starts a real server on loopback and returns its address.
func serve(t *testing.T, l edge.Limits) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := edge.NewServer(l, zaptest.NewLogger(t), func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/panic" {
			panic("as asked")
		}
		ctx.SetBodyString("fine")
	}, func(ctx *fasthttp.RequestCtx, handled bool) {
		ctx.Response.Header.Set("Handled", strconv.FormatBool(handled))
	})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(edge.LimitConns(ln, l.Conns)) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return ln.Addr().String()
}

func small() edge.Limits {
	l := edge.DefaultLimits()
	l.HeaderBytes, l.BodyBytes = 4096, 1024
	l.HeaderTimeout, l.BodyTimeout = 2*time.Second, 2*time.Second // less, and a busy machine is too slow for requests that are whole
	return l
}

// exchange writes raw, in pieces where it holds "\x00" (each a pause of 50 ms
// on the sender's side), and returns everything that came back.
func exchange(t *testing.T, addr, raw string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i, piece := range strings.Split(raw, "\x00") {
		if i > 0 {
			<-tick.C
		}
		if _, err := io.WriteString(c, piece); err != nil {
			break // refused before the end: what it said is still to be read
		}
	}
	got, _ := io.ReadAll(c) // a reset after the answer is fine: the answer is what counts
	return string(got)
}

func TestEdgeRefuses(t *testing.T) {
	t.Parallel()
	addr := serve(t, small())
	host := "Host: x\r\n"
	for name, c := range map[string]struct{ raw, status, says string }{
		"two lengths":        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400", "more than one Content-Length"},
		"length and chunked": {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "together with"},
		"other encoding":     {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "400", "Transfer-Encoding"},
		"identity encoding":  {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", "400", "chunked and nothing else"},
		"foreign scheme":     {"GET ftp://x/ HTTP/1.1\r\n" + host + "\r\n", "400", "neither a path"},
		"chunked in 1.0":     {"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "Transfer-Encoding"},
		"obs-fold":           {"GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", "400", "folded"},
		"bare LF":            {"GET / HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n", "400", "CR LF"},
		"HTTP/1.2":           {"GET / HTTP/1.2\r\n" + host + "\r\n", "505", "HTTP/1.1"},
		"HTTP/2.0":           {"GET / HTTP/2.0\r\n" + host + "\r\n", "505", "HTTP/1.1"},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", "400", "not valid"},
		"garbage":            {"\x16\x03\x01\x02\r\n\r\n", "400", "not valid"},
		"space in name":      {"GET / HTTP/1.1\r\n" + host + "Content-Length : 1\r\n\r\n", "400", "not valid"},
		"connect":            {"CONNECT x:443 HTTP/1.1\r\n" + host + "\r\n", "405", "CONNECT"},
		"trace":              {"TRACE / HTTP/1.1\r\n" + host + "\r\n", "405", "TRACE"},
		"lower-case method":  {"get / HTTP/1.1\r\n" + host + "\r\n", "501", "upper-case"},
		"other authority":    {"GET http://evil/ HTTP/1.1\r\n" + host + "\r\n", "400", "neither a path"},
		"fragment":           {"GET /a#b HTTP/1.1\r\n" + host + "\r\n", "400", "fragment"},
		"fragment in a URL":  {"GET http://x/a#b HTTP/1.1\r\n" + host + "\r\n", "400", "fragment"},
		"odd expectation":    {"POST / HTTP/1.1\r\n" + host + "Expect: cake\r\nContent-Length: 0\r\n\r\n", "417", "100-continue"},
		"header too large":   {"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 5000) + "\r\n\r\n", "431", "4096 bytes"},
		"body too large":     {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1025\r\n\r\n", "413", "1024 bytes"},
		"slow header":        {"GET / HTTP/1.1\r\n" + strings.Repeat("A\x00", 20), "408", "in time"},
		"body never comes":   {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nab", "408", "in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := exchange(t, addr, c.raw)
			resp := fasthttp.AcquireResponse()
			defer fasthttp.ReleaseResponse(resp)
			if err := resp.Read(bufio.NewReader(strings.NewReader(got))); err != nil {
				t.Fatalf("answer %q: %v", got, err)
			}
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 "+c.status) || !strings.Contains(body, c.says) || !strings.Contains(body, `"error"`) {
				t.Errorf("got %q, want status %s and a message with %q", got, c.status, c.says)
			}
			if string(resp.Header.Peek("Handled")) != "false" {
				t.Errorf("answer %q was not stamped", got)
			}
			if !resp.ConnectionClose() {
				t.Errorf("answer %q does not close the connection", got)
			}
			ok := exchange(t, addr, "GET / HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
			if !strings.HasPrefix(ok, "HTTP/1.1 200") {
				t.Errorf("the next request from someone else got %q", ok)
			}
		})
	}
}

func TestEdgeAccepts(t *testing.T) {
	t.Parallel()
	addr := serve(t, small())
	for name, raw := range map[string]string{
		"plain":         "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":      "GET / HTTP/1.0\r\n\r\n",
		"absolute form": "GET http://X/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"chunked":       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"own method":    "PROPFIND / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exchange(t, addr, raw); !strings.HasPrefix(got, "HTTP/1.1 200") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	t.Parallel()
	addr := serve(t, small())
	if got := exchange(t, addr, "GET /panic HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 500") || !strings.Contains(got, "Handled: true") {
		t.Errorf("got %q", got)
	}
	if got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("after a panic: %q", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	l := small()
	l.Conns, l.IdleTimeout = 2, time.Minute
	addr := serve(t, l)
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	var open []net.Conn
	for range l.Conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, get); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("within the limit: %q, %v", line, err)
		}
		open = append(open, c)
	}
	if got := exchange(t, addr, get); !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, `"too_many_connections"`) {
		t.Errorf("over the limit: %q", got)
	}
	open[0].Close()
	deadline := time.Now().Add(time.Minute)
	for {
		got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if strings.HasPrefix(got, "HTTP/1.1 200") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one has gone: %q", got)
		}
	}
}
