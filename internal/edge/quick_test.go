package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
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
	putHead  = "PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: "
	putAbc   = putHead + "3\r\n\r\nabc"
	waitGet  = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" // answered when quickServer.let says so
	bigBytes = 8 << 20                                 // more than the kernel takes at once
)

// quickServer answers some requests at once, and says of all others that they were
// served, with their bodies. It is its edge.AtOnce.
type quickServer struct {
	*fasthttp.Server
	quick *edge.Quick
	addr  string
	ends  chan error // of Serve

	waits chan struct{} // an answer is waited for
	let   chan string   // the answer; nil: it is there
	held  chan struct{} // nil, or what the server waits for before it answers /wait
}

// What quickServer.let says instead of an answer.
const (
	letBug    = "" // there is none
	letServer = "the server"
)

var big = bytes.Repeat([]byte("b"), bigBytes)

func startQuick(t *testing.T, l edge.Limits, opts ...func(*quickServer)) *quickServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &quickServer{addr: ln.Addr().String(), ends: make(chan error, 1), waits: make(chan struct{}), let: make(chan string)}
	for _, o := range opts {
		o(s)
	}
	s.Server = edge.NewServer(l, zap.NewNop(), func(ctx *fasthttp.RequestCtx) {
		if s.held != nil && string(ctx.Path()) == "/wait" {
			<-s.held
		}
		ctx.SetBodyString("served " + string(ctx.Path()) + " " + string(ctx.Request.Body()))
	}, nil)
	if s.quick, err = edge.NewQuick(edge.LimitConns(ln, l.Conns), s.Server, s, 1, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	go func() { s.ends <- s.Serve(s.quick) }()
	t.Cleanup(func() {
		if err := s.down(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// down ends the server in good order.
func (s *quickServer) down() error {
	var loops sync.WaitGroup
	loops.Go(func() { s.quick.Drain(context.Background()) })
	err := s.Shutdown()
	loops.Wait()
	s.quick.End()
	return err
}

func appendOK(out, date, body []byte) []byte {
	out = append(append(out, "HTTP/1.1 200 OK\r\n"...), date...)
	return fmt.Appendf(out, "Content-Length: %d\r\n\r\n%s", len(body), body)
}

// Now implements edge.AtOnce.
func (s *quickServer) Now(in, out, date []byte) (taken int, answers []byte, next edge.Next) {
	for {
		rest := in[taken:]
		starts := func(with string) bool { return bytes.HasPrefix(rest, []byte(with)) }
		switch {
		case starts(quickGet):
			taken += len(quickGet)
			out = appendOK(out, date, []byte("quick"))
		case starts(bigGet) && len(out) >= bigBytes:
			return taken, out, edge.NextAgain
		case starts(bigGet):
			taken += len(bigGet)
			out = appendOK(out, date, big)
		case starts(bugGet):
			panic("as asked")
		case starts(waitGet):
			return taken, out, edge.NextRead
		case len(rest) > 0 && (strings.HasPrefix(quickGet, string(rest)) || strings.HasPrefix(waitGet, string(rest))):
			return taken, out, edge.NextPart
		default:
			return taken, out, edge.NextServed
		}
	}
}

// Length implements edge.AtOnce. It knows what Now does, and PUTs.
func (s *quickServer) Length(in []byte) (size int, part bool) {
	if bytes.HasPrefix(in, []byte(bugGet)) {
		panic("as asked")
	}
	for _, whole := range []string{quickGet, waitGet, putHead} {
		switch {
		case strings.HasPrefix(whole, string(in)):
			part = true
		case !bytes.HasPrefix(in, []byte(whole)):
		case whole != putHead:
			return len(whole), false
		default:
			length, body, found := bytes.Cut(in[len(putHead):], []byte("\r\n\r\n"))
			if n, err := strconv.Atoi(string(length)); found && err == nil {
				return len(in) - len(body) + n, false
			}
			return 0, !found
		}
	}
	return 0, part
}

// Later implements edge.AtOnce.
func (s *quickServer) Later(_ edge.Next, asks []edge.Ask, date func() []byte) {
	for _, a := range asks {
		if s.let == nil {
			a.Reply(len(waitGet), appendOK(nil, date(), []byte("at once")))
			continue
		}
		s.waits <- struct{}{}
		switch body := <-s.let; body {
		case letBug:
			panic("as asked")
		case letServer:
			a.Reply(0, nil)
		default:
			a.Reply(len(waitGet), appendOK(nil, date(), []byte(body)))
		}
	}
}

// talk is a connection to a server whose first request has been answered.
type talk struct {
	t *testing.T
	*net.TCPConn
	in *bufio.Reader
}

func (s *quickServer) talk(t *testing.T) *talk {
	t.Helper()
	k := s.dial(t)
	k.send(quickGet)
	k.want("served /quick ") // the first one is the server's
	return k
}

// dial is talk before anything was said.
func (s *quickServer) dial(t *testing.T) *talk {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	return &talk{t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (k *talk) send(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k.TCPConn, s); err != nil {
		k.t.Fatal(err)
	}
}

// settle asks until a loop has the connection, which stays with the server for a while after
// it was given back.
func (k *talk) settle() {
	k.t.Helper()
	for range 100 {
		k.send(quickGet)
		if k.read() == "quick" {
			return
		}
	}
	k.t.Fatal("the server keeps the connection")
}

// read reads an answer, and returns its body.
func (k *talk) read() string {
	k.t.Helper()
	a, err := fuzzkit.ReadAnswer(k.in, "GET")
	if err != nil || a.Status != 200 {
		k.t.Fatalf("%d %.40q, %v", a.Status, a.Body, err)
	}
	if _, err := time.Parse(time.RFC1123, a.Header.Get("Date")); err != nil {
		k.t.Fatal(err)
	}
	return string(a.Body)
}

// want reads answers with these bodies.
func (k *talk) want(bodies ...string) {
	k.t.Helper()
	for i, body := range bodies {
		if got := k.read(); got != body {
			k.t.Fatalf("answer %d: %.40q; want %.40q", i, got, body)
		}
	}
}

// wantParts reads answers to requests of which the first came in parts: it is the server's
// where the rest took its time, and so is what came behind it.
func (k *talk) wantParts(n int) {
	k.t.Helper()
	for range n {
		if got := k.read(); got != "quick" && got != "served /quick " {
			k.t.Fatalf("got %.40q", got)
		}
	}
}

// What comes is answered in its order, whoever answers it and however it is cut.
func TestQuickKeepsTheOrder(t *testing.T) {
	t.Parallel()
	k := startQuick(t, edge.DefaultLimits()).talk(t)
	k.send(quickGet)
	k.want("quick")
	k.send(quickGet + quickGet + putAbc + quickGet + slowGet + quickGet)
	k.want("quick", "quick", "served /put abc", "served /quick ", "served /slow ", "served /quick ")
	k.settle()
	k.send(quickGet + quickGet[:9])
	k.want("quick")
	k.send(quickGet[9:] + quickGet)
	k.wantParts(2)
	k.settle()
	k.send(bugGet + quickGet)
	k.want("served /bug ", "served /quick ")
	k.settle()
}

// What was sent behind a request that is the server's is not, though it came together with
// that: the server would answer all of it alone, as long as more comes.
func TestQuickTakesWhatIsBehind(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	const many = 2000 // more than is read at once, and ends anywhere in it
	behind := strings.Repeat(quickGet, many)
	k := s.dial(t)
	k.send(putAbc + quickGet) // and nothing more that could have it looked at
	k.want("served /put abc", "quick")
	putGet := putHead + strconv.Itoa(len(quickGet)) + "\r\n\r\n" + quickGet
	long := strings.Repeat("l", 100_000)
	putLong := putHead + strconv.Itoa(len(long)) + "\r\n\r\n" + long
	for _, c := range []struct {
		first string
		cuts  []int
		want  string
	}{
		{quickGet, nil, "served /quick "},
		{quickGet, []int{9}, "served /quick "},
		{putAbc, nil, "served /put abc"},
		{putAbc, []int{1}, "served /put abc"},
		{putAbc, []int{7, len(putAbc) - 1}, "served /put abc"},
		{putAbc, []int{len(putAbc) - 3}, "served /put abc"},
		{putAbc, []int{len(putAbc)}, "served /put abc"},
		{putGet, nil, "served /put " + quickGet},
		{putGet, []int{len(putGet) - len(quickGet)}, "served /put " + quickGet},
		{putLong, nil, "served /put " + long},
		{putLong, []int{len(putHead) + 2, 50_000}, "served /put " + long},
	} {
		k := s.dial(t)
		tick := time.NewTicker(20 * time.Millisecond) // so that they come apart
		at := 0
		for _, cut := range c.cuts {
			k.send(c.first[at:cut])
			at = cut
			<-tick.C
		}
		tick.Stop()
		go func() {
			_, _ = io.WriteString(k.TCPConn, c.first[at:]+behind)
			_ = k.CloseWrite()
		}()
		k.want(c.want)
		quick := 0
		for range many {
			switch got := k.read(); got {
			case "quick":
				quick++
			case "served /quick ": // a part that was long in coming is the server's too
			default:
				t.Fatalf("%.60q, cut at %d: got %.40q", c.first, c.cuts, got)
			}
		}
		if quick < many/2 {
			t.Errorf("%.60q, cut at %d: the server answered %d of %d", c.first, c.cuts, many-quick, many)
		}
		if b, err := k.in.ReadByte(); err != io.EOF {
			t.Errorf("%.60q, cut at %d: behind the end: %q, %v", c.first, c.cuts, b, err)
		}
	}
}

// Where nobody knows how long a request is, those behind it are answered in their order all the
// same, and so is what comes in parts.
func TestQuickBehindWhatIsUnknown(t *testing.T) {
	t.Parallel()
	s := startQuick(t, edge.DefaultLimits())
	for first, want := range map[string]string{slowGet: "served /slow ", bugGet: "served /bug ", "PUT /put HTTP/1.1\r\nHost: y\r\nContent-Length: 4\r\n\r\nabcd": "served /put abcd"} {
		k := s.dial(t)
		k.send(first + strings.Repeat(quickGet, 10) + quickGet[:9])
		k.want(want)
		k.wantParts(10)
		k.send(quickGet[9:])
		k.wantParts(1)
		k.settle()
	}
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
		k.settle()
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
	k.send(bigGet + quickGet + bigGet + slowGet)
	k.want(string(big), "quick", string(big), "served /slow ")
	k.settle()
	k.send(bigGet + slowGet[:7])
	k.want(string(big))
	k.send(slowGet[7:])
	k.want("served /slow ")
}

// More than one read takes is read, and the end of what comes is seen, also where it
// comes with a request.
func TestQuickReadsToTheEnd(t *testing.T) {
	t.Parallel()
	k := startQuick(t, edge.DefaultLimits()).talk(t)
	const many = 10000
	go func() { _, _ = io.WriteString(k.TCPConn, strings.Repeat(quickGet, many)) }()
	for range many {
		k.want("quick")
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

// A connection that is used stays open, one that is not is closed in time, and a part of
// a request has the time that headers have.
func TestQuickKeepsTime(t *testing.T) {
	t.Parallel()
	l := edge.DefaultLimits()
	l.IdleTimeout, l.HeaderTimeout = 6*time.Second, 3*time.Second
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
