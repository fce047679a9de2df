package edge_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/harness"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	quickGet = "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
	bigGet   = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
	bugGet   = "GET /bug HTTP/1.1\r\nHost: x\r\n\r\n"
	slowGet  = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" // only the server knows it
	waitGet  = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" // answered when quickServer.let says so
	bigBytes = 8 << 20                                 // more than the kernel takes at once
)

// quickServer answers three requests at once, and says of all others that they were
// served, with their bodies.
type quickServer struct {
	*fasthttp.Server
	addr string
	ends chan error // of Serve

	waits chan struct{} // an answer is waited for
	let   chan string   // the answer
}

func startQuick(t *testing.T, l edge.Limits) *quickServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &quickServer{addr: ln.Addr().String(), ends: make(chan error, 1), waits: make(chan struct{}), let: make(chan string)}
	s.Server = edge.NewServer(l, zap.NewNop(), func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyString("served " + string(ctx.Path()) + " " + string(ctx.Request.Body()))
	}, nil)
	big := bytes.Repeat([]byte("b"), bigBytes)
	quick := edge.Quick(edge.LimitConns(ln, l.Conns), s.Server, func(in, out []byte, date func() []byte, wait bool) (taken int, answers []byte, later bool) {
		answer := func(body []byte) {
			out = append(append(out, "HTTP/1.1 200 OK\r\n"...), date()...)
			out = fmt.Appendf(out, "Content-Length: %d\r\n\r\n%s", len(body), body)
		}
		for {
			rest := in[taken:]
			switch {
			case bytes.HasPrefix(rest, []byte(quickGet)):
				taken += len(quickGet)
				answer([]byte("quick"))
			case bytes.HasPrefix(rest, []byte(bigGet)):
				taken += len(bigGet)
				answer(big)
			case bytes.HasPrefix(rest, []byte(bugGet)):
				panic("as asked")
			case bytes.HasPrefix(rest, []byte(waitGet)) && taken == 0:
				if !wait {
					return 0, out, true
				}
				s.waits <- struct{}{}
				taken += len(waitGet)
				body := <-s.let
				if body == "" {
					panic("as asked")
				}
				answer([]byte(body))
				return taken, out, false
			default:
				return taken, out, false
			}
		}
	})
	go func() { s.ends <- s.Serve(quick) }()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// talk is a connection to a server whose first request has been answered.
type talk struct {
	t *testing.T
	*net.TCPConn
	in *bufio.Reader
}

func (s *quickServer) talk(t *testing.T) *talk {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	k := &talk{t, c.(*net.TCPConn), bufio.NewReader(c)}
	k.send(quickGet)
	k.want("served /quick ") // the first one is the server's
	return k
}

func (k *talk) send(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k.TCPConn, s); err != nil {
		k.t.Fatal(err)
	}
}

// want reads answers with these bodies.
func (k *talk) want(bodies ...string) {
	k.t.Helper()
	for i, body := range bodies {
		a, err := fuzzkit.ReadAnswer(k.in, "GET")
		if err != nil || a.Status != 200 || string(a.Body) != body {
			k.t.Fatalf("answer %d: %d %.40q, %v; want %.40q", i, a.Status, a.Body, err, body)
		}
		if _, err := time.Parse(time.RFC1123, a.Header.Get("Date")); err != nil {
			k.t.Fatalf("answer %d: %v", i, err)
		}
	}
}

// What comes is answered in its order, whoever answers it and however it is cut.
func TestQuickKeepsTheOrder(t *testing.T) {
	t.Parallel()
	k := startQuick(t, edge.DefaultLimits()).talk(t)
	k.send(quickGet)
	k.want("quick")
	put := "PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	k.send(quickGet + quickGet + put + quickGet + slowGet + quickGet)
	k.want("quick", "quick", "served /put abc", "served /quick ", "served /slow ", "served /quick ")
	k.send(quickGet + quickGet[:9])
	k.want("quick")
	k.send(quickGet[9:] + quickGet)
	k.want("served /quick ", "served /quick ")
	k.send(bugGet + quickGet)
	k.want("served /bug ", "served /quick ")
	k.send(quickGet)
	k.want("quick")
}

// What stands in the body of a request is no request, wherever the body begins.
func TestQuickAnswersNoBody(t *testing.T) {
	t.Parallel()
	k := startQuick(t, edge.DefaultLimits()).talk(t)
	head := "PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(quickGet)) + "\r\n\r\n"
	for _, sent := range [][]string{
		{head, quickGet}, {head[:20], head[20:], quickGet}, {quickGet + head, quickGet},
		{slowGet + head, quickGet}, {slowGet + head[:20], head[20:], quickGet}, {head + quickGet[:5], quickGet[5:]},
	} {
		tick := time.NewTicker(20 * time.Millisecond) // so that they come apart
		for _, piece := range sent {
			k.send(piece)
			<-tick.C
		}
		tick.Stop()
		switch {
		case strings.HasPrefix(sent[0], quickGet):
			k.want("quick")
		case strings.HasPrefix(sent[0], slowGet):
			k.want("served /slow ")
		}
		k.want("served /put " + quickGet)
	}
}

// Answers for which the kernel has no room yet wait for their reader, and what comes
// behind them for them.
func TestQuickWaitsForRoom(t *testing.T) {
	t.Parallel()
	k := startQuick(t, edge.DefaultLimits()).talk(t)
	big := strings.Repeat("b", bigBytes)
	k.send(bigGet + quickGet + bigGet + slowGet)
	k.want(big, "quick", big, "served /slow ")
	k.send(bigGet + slowGet[:7])
	k.want(big)
	k.send(slowGet[7:])
	k.want("served /slow ")
}

// More than one read takes is read, and the end of what comes is seen, also where it
// comes with a request.
func TestQuickReadsToTheEnd(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.HeaderBytes = 8 * len(quickGet) // a read takes so many, whole
	k := startQuick(t, l).talk(t)
	const many = 1000
	go func() { _, _ = io.WriteString(k.TCPConn, strings.Repeat(quickGet, many)) }()
	for range many {
		k.want2("quick", "served /quick ")
	}
	k.send(quickGet)
	if err := k.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	k.want("quick")
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("behind the end: %q, %v", b, err)
	}
}

// want2 reads an answer with one of two bodies.
func (k *talk) want2(one, other string) {
	k.t.Helper()
	if a, err := fuzzkit.ReadAnswer(k.in, "GET"); err != nil || string(a.Body) != one && string(a.Body) != other {
		k.t.Fatalf("%.40q, %v", a.Body, err)
	}
}

// A connection that is used stays open, one that is not is closed in time, and a part of
// a request has the time that headers have.
func TestQuickKeepsTime(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.IdleTimeout, l.HeaderTimeout = 600*time.Millisecond, 300*time.Millisecond
	s := startQuick(t, l)
	used, unused, slow := s.talk(t), s.talk(t), s.talk(t)
	slow.send(quickGet[:5])
	tick := time.NewTicker(l.IdleTimeout / 6)
	defer tick.Stop()
	for range 12 {
		used.send(quickGet)
		used.want("quick")
		<-tick.C
	}
	if b, err := unused.in.ReadByte(); err != io.EOF {
		t.Errorf("unused: %q, %v", b, err)
	}
	if a, err := fuzzkit.ReadAnswer(slow.in, "GET"); err != nil || a.Status != fasthttp.StatusRequestTimeout {
		t.Errorf("a part of a request: %+v, %v", a, err)
	}
	used.send(quickGet)
	used.want("quick")
}

// A server that shuts down waits for no connection whose requests are all answered.
func TestQuickShutsDown(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(quickGet)
	k.want("quick")
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("after the shutdown: %q, %v", b, err)
	}
	if err := <-s.ends; err != nil {
		t.Error(err)
	}
}

// An answer that is waited for keeps its place before what comes behind it.
func TestQuickWaits(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	for _, behind := range []string{"", quickGet, waitGet, slowGet, quickGet[:9]} {
		k.send(waitGet + behind)
		<-s.waits
		s.let <- "at last"
		k.want("at last")
		switch behind {
		case quickGet:
			k.want("quick")
		case waitGet:
			<-s.waits
			s.let <- "once more"
			k.want("once more")
		case slowGet:
			k.want("served /slow ")
		case quickGet[:9]:
			k.send(quickGet[9:])
			k.want2("quick", "served /quick ") // the rest may have come before the server was to have it
		}
		k.send(quickGet)
		k.want("quick")
	}
	k.send(waitGet)
	<-s.waits
	big := strings.Repeat("b", bigBytes)
	s.let <- big
	k.want(big)
}

// A read that ends within a request is no reason to leave it, and what comes behind it, to
// the server: what is there is read first.
func TestQuickWaitsForMoreThanARead(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.HeaderBytes = 4*len(waitGet) + 9
	s := startQuick(t, l)
	k := s.talk(t)
	const many = 50
	k.send(strings.Repeat(waitGet, many) + slowGet)
	for i := range many {
		select {
		case <-s.waits:
		case <-time.After(harness.Patience):
			t.Fatalf("the server has the %dth", i+1)
		}
		s.let <- strconv.Itoa(i)
		k.want(strconv.Itoa(i))
	}
	k.want("served /slow ")
}

// A server that shuts down answers what is waited for, and closes the connection then.
func TestQuickShutsDownBehindAnAnswer(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(waitGet)
	<-s.waits
	down := make(chan error, 1)
	go func() { down <- s.Shutdown() }()
	if err := <-s.ends; err != nil { // the port is closed: it has begun
		t.Error(err)
	}
	select {
	case err := <-down:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(150 * time.Millisecond): // fasthttp looks each 100 ms
	}
	s.let <- "at last"
	k.want("at last")
	if b, err := k.in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %q, %v", b, err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// A bug behind a wait ends the connection: the server would do once more what may have
// been done.
func TestQuickServesNothingTwice(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	k := s.talk(t)
	k.send(waitGet + quickGet)
	<-s.waits
	s.let <- ""
	if b, err := io.ReadAll(k.in); err != nil || len(b) > 0 {
		t.Errorf("%q, %v; want nothing but the end", b, err)
	}
}
