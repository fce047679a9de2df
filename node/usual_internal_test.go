package node

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const usualID = "Dengine-Session: 000102030405060708090a0b0c0d0E0F\r\nDengine-Sequence: 7\r\nDengine-Acked: 3\r\n"

// usualPut is a write as a balancer sends it, with more header lines.
func usualPut(lines string) string {
	return "PUT /kv/a/b HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nVia: 1.1 dengine\r\nContent-Length: 3\r\n" + lines + usualID + "\r\nabc"
}

// usualOnes must be taken, or the quick path is dead.
func usualOnes() []string {
	return []string{
		usualPut(""),
		usualPut("Accept: \r\n"),
		usualPut("Content-Type: text/plain\r\nuser-agent: curl/8\r\nAuthorization: Basic eDp5\r\n"),
		"DELETE /kv/get HTTP/1.1\r\nhost: x\r\n" + usualID + "\r\n",
		"DELETE /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + usualID + "\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\ndengine-session: 000102030405060708090a0b0c0d0e0f\r\nDENGINE-SEQUENCE: 0018446744073709551599\r\n\r\n",
	}
}

// unusualOnes must be left to the server.
func unusualOnes() []string {
	out := []string{
		"", "\r\n\r\n", "PUT /kv/a HTTP/1.1\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"DELETE /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" + usualID + "\r\na",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\n" + usualID + "\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n" + usualID + "\r\n",
		"PUT /kv/a HTTP/1.1\r\nContent-Length: 0\r\n" + usualID + "\r\n",
		"PUT /kv/a HTTP/1.1\nHost: x\r\nContent-Length: 0\r\n" + usualID + "\r\n",
		"PUT /kv/a HTTP/1.1\r\nA: b\nHost: x\r\nContent-Length: 0\r\n" + usualID + "\r\n",
		strings.Replace(usualPut(""), "Sequence: 7", "Sequence: 0", 1),
		strings.Replace(usualPut(""), "Sequence: 7", "Sequence: 18446744073709551616", 1),
		strings.Replace(usualPut(""), "Sequence: 7", "Sequence: +7", 1),
		strings.Replace(usualPut(""), "0E0F", "0E", 1),
		strings.Replace(usualPut(""), "Length: 3", "Length: 2", 1),
		strings.Replace(usualPut(""), "Length: 3", "Length: 4", 1),
		strings.Replace(usualPut(""), "abc", "abcPUT /kv/c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 1),
		usualPut("A: " + strings.Repeat("a", usualHead) + "\r\n"),
	}
	for _, target := range []string{"/kv/", "/kv", "/kv/a%2Fb", "/kv/a?b", "/kv/a#b", "/kv/a b", "/kv/\x01", "/kv/\xff", "http://x/kv/a", "/dengine/session", "*"} {
		out = append(out, strings.Replace(usualPut(""), "/kv/a/b", target, 1))
	}
	for _, other := range []string{"POST", "GET", "put", "PUT ", " PUT"} {
		out = append(out, strings.Replace(usualPut(""), "PUT", other, 1))
	}
	for _, version := range []string{"HTTP/1.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 "} {
		out = append(out, strings.Replace(usualPut(""), "HTTP/1.1", version, 1))
	}
	for _, line := range []string{
		"Transfer-Encoding: chunked", "TRANSFER-encoding: identity", "Content-Length: 3", "content-length: 4", "Connection: close", "Upgrade: x", "Trailer: a", "TE: trailers",
		"Expect: 100-continue", "If-Match: *", "If-None-Match: *", "Idempotency-Key: k", "Content-Type: application/json", "Content-Type: Application/JSON ;a=b",
		" folded", "A:b", "A : b", "A b", ": b", "A: b\x00", "A: b\x7f", "A: b\rc", "A: \tb", "A: b ", "A: é", "Ä: b", "A", "Dengine-Acked: 3", "dengine-sequence: 7",
		"Dengine-Session: 000102030405060708090a0b0c0d0e0f", "A_B: c",
	} {
		out = append(out, usualPut(line+"\r\n"))
	}
	return out
}

func TestUsualWrites(t *testing.T) {
	t.Parallel()
	var w Write
	for _, in := range usualOnes() {
		if !readUsual([]byte(in), &w) {
			t.Errorf("not taken: %q", in)
		}
	}
	for _, in := range unusualOnes() {
		if readUsual([]byte(in), &w) {
			t.Errorf("taken: %q", in)
		}
	}
}

// What is taken past the server is one request, and the one that the server sees.
func FuzzUsual(f *testing.F) {
	for _, in := range append(usualOnes(), unusualOnes()...) {
		f.Add([]byte(in))
	}
	view := serverView()
	f.Fuzz(func(t *testing.T, in []byte) {
		var w Write
		if readUsual(in, &w) {
			seesOnly(t, view, in, &w)
		}
	})
}

// serverView returns what a server sees of the requests in some bytes.
func serverView() func(t *testing.T, in []byte) []string {
	var seen []string
	srv := edge.NewServer(DefaultConfig().apiLimits(), zap.NewNop(), func(ctx *fasthttp.RequestCtx) {
		seen = append(seen, asServed(ctx))
	}, nil)
	return func(t *testing.T, in []byte) []string {
		t.Helper()
		seen = nil
		conn := fuzzkit.NewConn(in)
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.ServeConn(conn) }() // what went wrong is in the answer
		conn.Answered(t)
		<-done
		return seen
	}
}

// seesOnly fails where in is not one request, or not this write, for the server.
func seesOnly(t *testing.T, view func(*testing.T, []byte) []string, in []byte, w *Write) {
	t.Helper()
	seen := view(t, in)
	if want := asWrite(w.Delete, w.Key, w.Value, &w.Identity); len(seen) != 1 || seen[0] != want {
		t.Errorf("%q is taken for\n%s, and the server sees\n%q", in, want, seen)
	}
}

func asWrite(remove bool, key, value []byte, id *Identity) string {
	return fmt.Sprintf("%v %q %q %x %d %d %q %q", remove, key, value, id.Session[:], id.Sequence, id.Acked, id.Key, id.Scope)
}

// asServed is asWrite of what Serve would find in a request.
func asServed(ctx *fasthttp.RequestCtx) string {
	h := &ctx.Request.Header
	path, _, _ := bytes.Cut(ctx.RequestURI(), []byte("?"))
	escaped, found := bytes.CutPrefix(path, []byte(pathKVKey))
	key, err := unescape(escaped)
	id, errID := parseIdentity(h)
	conditions := len(h.Peek(fasthttp.HeaderIfMatch)) + len(h.Peek(fasthttp.HeaderIfNoneMatch))
	var value []byte
	switch {
	case ctx.IsPut() && !isJSON(h.ContentType()):
		value = ctx.PostBody()
	case !ctx.IsDelete():
		found = false
	}
	if p := edge.NoTrailers(h); !found || err != nil || errID != nil || conditions > 0 || p != nil {
		return fmt.Sprintf("something else: %s %s %v %v %v", h.Method(), path, err, errID, p)
	}
	return asWrite(ctx.IsDelete(), key, value, &id)
}
