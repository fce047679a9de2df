package lb

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// plainSeeds are requests that workers take, and such as look like them.
func plainSeeds() []string {
	const get = "GET /a HTTP/1.1\r\nHost: x\r\n"
	return []string{
		get + "\r\n",
		get + "User-Agent:  a b \t\r\nX-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 1\r\nForwarded: a\r\nAccept: */*\r\n\r\nGET",
		get + "Connection: Keep-Alive\r\nCookie: a=b\r\nDengine-Min-Index: 7\r\n\r\n",
		get + "Connection: close\r\n\r\n",
		get + "Content-Length: 0\r\n\r\n",
		get + "Empty:\r\nContent-Encoding: gzip\r\n\r\n",
		get + "A : b\r\n\r\n",
		get + "A: b\n\r\n",
		get + " folded: b\r\n\r\n",
		get + "Host: y\r\n\r\n",
		get + "Dengine-Session: 1\r\n\r\n",
		get + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /a?b=%20c;d HTTP/1.1\r\nhost: x.y-z:80\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
		"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nabcd",
		"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 03\r\n\r\nabc",
		"PATCH /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"DELETE /a HTTP/1.1\r\nContent-Length: 0\r\nHost: x\r\n\r\n",
		"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
		"POST /dengine/session HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"TRACE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	}
}

// asServed is what a backend would get of the first request in in if the server and
// the checks of the edge had taken it, and nothing where they had not.
func asServed(in []byte, ip string) (out, rest []byte) {
	var ctx fasthttp.RequestCtx
	h := &ctx.Request.Header
	h.DisableNormalizing() // as edge.NewServer has it
	h.SetNoDefaultContentType(true)
	r := bufio.NewReaderSize(bytes.NewReader(in), 64<<10)
	if h.Read(r) != nil || edge.Check(h) != nil {
		return nil, nil
	}
	var w headWriter
	if w.scan(h) != "" {
		return nil, nil
	}
	length, body := h.ContentLength(), []byte(nil)
	switch {
	case length > 0:
		var err error
		if body, err = r.Peek(length); err != nil {
			return nil, nil
		}
		body = append([]byte(nil), body...)
		_, _ = r.Discard(length)
	case length < 0:
		length = framingNone
	}
	head := requestHead{
		method: h.Method(), target: originForm(h.RequestURI()), host: h.Host(), fields: h.RawHeaders(), http11: h.IsHTTP11(), ip: []byte(ip),
	}
	rest, _ = r.Peek(r.Buffered())
	return append(w.write(nil, &head, length, false), body...), rest
}

// FuzzPlainRequest compares what a worker makes of a request with what the server would
// have made of it: what the worker takes goes to backends in the same bytes, and ends
// in the same place.
func FuzzPlainRequest(f *testing.F) {
	for _, in := range plainSeeds() {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const ip = "10.0.0.1"
		var p plainRequest
		p.ip = []byte(ip)
		if p.parse(in) != plainWhole {
			return
		}
		var w headWriter
		got := append(w.write(nil, &p.requestHead, p.length(), false), p.body...)
		want, rest := asServed(in, ip)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q: a worker sends\n%q, and the server\n%q", in, got, want)
		}
		if !bytes.Equal(in[p.size:], rest) {
			t.Errorf("%q: a worker leaves %q, and the server %q", in, in[p.size:], rest)
		}
	})
}

// Which requests workers take. Those that they do not are the server's, so that this is
// about speed where it says yes and about safety where it says no.
func TestPlainRequests(t *testing.T) {
	t.Parallel()
	plain := map[int]bool{0: true, 1: true, 2: true, 5: true, 12: true, 17: true, 20: true}
	for i, in := range plainSeeds() {
		var p plainRequest
		if got := p.parse([]byte(in)) == plainWhole; got != plain[i] {
			t.Errorf("%q: plain: %v, want %v", in, got, plain[i])
		}
	}
}

// A request that is cut off anywhere is not whole yet, and nothing else.
func TestPartOfAPlainRequest(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
	} {
		for n := range len(in) {
			var p plainRequest
			if got := p.parse([]byte(in[:n])); got != plainPartial {
				t.Errorf("%q: %d, want %d", in[:n], got, plainPartial)
			}
		}
	}
	var p plainRequest
	if got := p.parse([]byte("GET /a HTTP/1.1\r\nA: " + strings.Repeat("a", maxPlainHead))); got != plainNot {
		t.Errorf("a head without end: %d, want %d", got, plainNot)
	}
}

// A worker gives a request up no later than the server would have looked after it.
func TestLateIsNoLaterThanTimeouts(t *testing.T) {
	t.Parallel()
	const short = 10 * time.Millisecond
	usual := DefaultConfig()
	with := func(change func(*Config)) Config { c := usual; change(&c); return c }
	upstream := with(func(c *Config) { c.UpstreamTimeout = short })
	read := with(func(c *Config) { c.ReadTimeout = short })
	attempt := with(func(c *Config) { c.ReadAttemptTimeout = short })
	for _, c := range []struct {
		cfg  Config
		of   class
		want time.Duration
	}{
		{usual, classRead, lateAnswer},
		{usual, classWrite, lateAnswer},
		{upstream, classRead, short},
		{upstream, classWrite, short},
		{read, classRead, short},
		{read, classWrite, lateAnswer},
		{attempt, classRead, short},
	} {
		if got := late(&c.cfg, c.of); got != c.want {
			t.Errorf("a %v is late after %v, want %v", c.of, got, c.want)
		}
	}
}
