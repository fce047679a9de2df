package edge_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

func frame(place uint32, request string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	return append(binary.BigEndian.AppendUint32(b, place), request...)
}

func put(path, body string) string {
	return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// bundle serves a bundle, and returns its far end and a channel that is closed when it
// has ended.
func bundle(t testing.TB, handle fasthttp.RequestHandler) (net.Conn, *edge.Bundle, <-chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b, done := edge.NewBundle(served, edge.NewServer(edge.DefaultLimits(), zap.NewNop(), handle, nil), nil), make(chan struct{})
	go func() { defer close(done); b.Run() }()
	t.Cleanup(func() { _ = c.Close(); <-done })
	return c, b, done
}

func send(t testing.TB, c net.Conn, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := c.Write(f); err != nil {
			t.Fatal(err)
		}
	}
}

func echo(ctx *fasthttp.RequestCtx) {
	ctx.SetBodyString(string(ctx.Method()) + " " + string(ctx.RequestURI()) + " " + string(ctx.PostBody()))
}

// next reads the next answer.
func next(t testing.TB, r *bufio.Reader) (place uint32, status int, body string) {
	t.Helper()
	place, block, err := edge.NextFrame(r)
	if err != nil {
		t.Fatal(err)
	}
	resp, in := fasthttp.AcquireResponse(), bufio.NewReader(strings.NewReader(string(block)))
	defer fasthttp.ReleaseResponse(resp)
	if err := resp.Read(in); err != nil {
		t.Fatalf("%q: %v", block, err)
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("behind an answer came %q", rest)
	}
	return place, resp.StatusCode(), string(resp.Body())
}

// Answers come as they are there, each to the place that asked, and a place can be
// used again.
func TestBundleAnswersEachAtItsPlace(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c, _, _ := bundle(t, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/slow" {
			<-release
		}
		echo(ctx)
	})
	r := edge.NewFrameReader(c)
	send(t, c, frame(7, put("/slow", "a")))
	for i := range 50 {
		send(t, c, frame(3, put("/fast", fmt.Sprint(i))))
		if at, status, body := next(t, r); at != 3 || status != 200 || body != fmt.Sprintf("PUT /fast %d", i) {
			t.Fatalf("got %d %q at %d", status, body, at)
		}
	}
	close(release)
	if at, status, body := next(t, r); at != 7 || status != 200 || body != "PUT /slow a" {
		t.Errorf("got %d %q at %d", status, body, at)
	}
}

// A request that the edge refuses ends its place as it would end its connection, and
// the next request there is served as if it came on a new one.
func TestBundleIsAsStrictAsConnections(t *testing.T) {
	t.Parallel()
	c, _, _ := bundle(t, echo)
	r := edge.NewFrameReader(c)
	for request, want := range map[string]int{
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nshort":                                      400, // its frame ends too soon
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":    400,
		"PUT / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n":                             400,
		"PUT / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20<<10) + "\r\nContent-Length: 0\r\n\r\n": 431,
		"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n":                      200,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                                                200,
		"PUT":                                                                                              400,
	} {
		send(t, c, frame(0, request))
		if at, status, body := next(t, r); at != 0 || status != want {
			t.Errorf("%.60q: got %d %q at %d, want %d", request, status, body, at, want)
		}
		send(t, c, frame(0, put("/next", "")))
		if _, status, body := next(t, r); status != 200 || body != "PUT /next " {
			t.Errorf("after %.60q: got %d %q", request, status, body)
		}
	}
}

// A place is no connection that could be handed over.
func TestBundleKnowsItsOwn(t *testing.T) {
	t.Parallel()
	c, _, _ := bundle(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(fmt.Sprint(edge.InBundle(ctx))) })
	send(t, c, frame(0, put("/", "")))
	if _, _, body := next(t, edge.NewFrameReader(c)); body != "true" {
		t.Errorf("got %q", body)
	}
}

// What is no frame, or comes where an answer is owed, ends the bundle.
func TestBundleEndsAtWhatMustNotCome(t *testing.T) {
	t.Parallel()
	for name, frames := range map[string][][]byte{
		"empty":      {frame(0, "")},
		"too long":   {binary.BigEndian.AppendUint64(nil, (edge.MaxMessage+1)<<32)},
		"too far":    {frame(edge.MaxPlaces, put("/", ""))},
		"busy place": {frame(0, put("/slow", "")), frame(0, put("/", ""))},
		"ends early": {frame(0, put("/", ""))[:20]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			c, _, done := bundle(t, func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/slow" {
					<-release
				}
			})
			send(t, c, frames...)
			if name == "ends early" {
				_ = c.(*net.TCPConn).CloseWrite()
			}
			if got, _ := io.ReadAll(c); len(got) > 0 { // that it was reset is fine
				t.Errorf("got %q", got)
			}
			close(release)
			<-done
		})
	}
}

// Close lets every request that has come have its answer first.
func TestBundleClosesBehindItsAnswers(t *testing.T) {
	t.Parallel()
	release, there := make(chan struct{}), make(chan struct{}, 3)
	c, b, done := bundle(t, func(ctx *fasthttp.RequestCtx) { there <- struct{}{}; <-release; echo(ctx) })
	send(t, c, frame(0, put("/a", "")), frame(1, put("/b", "")), frame(2, put("/c", "")))
	for range 3 {
		<-there
	}
	b.Close()
	close(release)
	r := edge.NewFrameReader(c)
	seen := map[uint32]string{}
	for range 3 {
		at, _, body := next(t, r)
		seen[at] = body
	}
	if seen[0] != "PUT /a " || seen[1] != "PUT /b " || seen[2] != "PUT /c " {
		t.Errorf("got %v", seen)
	}
	if _, _, err := edge.NextFrame(r); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	<-done
	idle, b, done := bundle(t, echo)
	send(t, idle, frame(0, put("/a", "")))
	next(t, edge.NewFrameReader(idle))
	b.Close() // a place that waits for its next request is no reason to stay
	<-done
}

// Whatever bytes come, the bundle answers or ends.
func FuzzBundle(f *testing.F) {
	f.Add(append(frame(0, put("/a", "b")), frame(1, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")...))
	f.Add(append(frame(0, put("/a", "b")), frame(0, put("/b", ""))...))
	f.Add(frame(5, put("/a", "b")+put("/c", "d")))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, _, done := bundle(t, echo)
		_, _ = c.Write(in) // it may have been refused already
		_ = c.(*net.TCPConn).CloseWrite()
		r := edge.NewFrameReader(c)
		for {
			if at, _, err := edge.NextFrame(r); err != nil {
				break
			} else if at >= edge.MaxPlaces {
				t.Errorf("an answer at %d", at)
			}
		}
		<-done
	})
}
