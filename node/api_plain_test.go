package node

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/harness"
)

var (
	plainDate = []byte("Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n")
	anyDate   = regexp.MustCompile(`\r\nDate: [^\r]*\r\n`)
)

// storePlain puts values of every kind under keys that a plain GET can name.
func storePlain(tb testing.TB, n *Node) {
	tb.Helper()
	for key, value := range map[string]string{
		"a": "alice", "get": "a key like any other", "a//b/../c": "", `"'<>^{|}\`: "odd", "zero": "\x00\x1f", "quoted": "{\"a\":\"b\\\"\"}\r\n\t",
		"latin": "\xe9t\xe9", "utf8": "été", "%61": "not a", "a#b": "not a", "long": strings.Repeat("x", quickBytes), "longer": strings.Repeat("x", quickBytes+1),
		strings.Repeat("k", MaxKeyBytes): "of the longest key", "@:;=,+&!$*()~-._0": "ten",
	} {
		if _, err := n.Put(context.Background(), []byte(key), []byte(value), Condition{}); err != nil {
			tb.Fatal(err)
		}
	}
}

func sameDate(answers []byte) []byte {
	return anyDate.ReplaceAll(answers, append([]byte("\r\n"), plainDate...))
}

// plainAsk is an edge.Ask.
type plainAsk struct {
	in      []byte
	replies int
	taken   int
	answers []byte
}

func (a *plainAsk) In() []byte { return a.in }

func (a *plainAsk) Reply(taken int, answers []byte) {
	a.replies++
	a.taken, a.answers = taken, bytes.Clone(answers)
}

// askLater has one connection's requests answered with waiting.
func askLater(t testing.TB, n *Node, what edge.Next, in []byte) (taken int, answers []byte) {
	t.Helper()
	a := &plainAsk{in: in}
	quickAPI{n}.Later(what, []edge.Ask{a}, func() []byte { return plainDate })
	if a.replies != 1 || (a.taken == 0) != (len(a.answers) == 0) {
		t.Fatalf("%q: %d replies, the last took %d with %q", in, a.replies, a.taken, a.answers)
	}
	return a.taken, a.answers
}

// samePlain says how much of in was answered without the server, and whether it had to
// wait. The answers must be those of the server. Writes are not looked at.
func samePlain(t testing.TB, n *Node, in []byte) (taken int, waited bool) {
	t.Helper()
	if parsePlainWrite(in, new(Write)) > 0 {
		return 0, false
	}
	given := bytes.Clone(in)
	taken, quick, next := quickAPI{n}.Now(given, []byte("before"), plainDate)
	quick, ok := bytes.CutPrefix(quick, []byte("before"))
	if waited = taken == 0 && next == edge.NextRead; waited {
		taken, quick = askLater(t, n, next, given)
	}
	if !bytes.Equal(given, in) {
		t.Fatalf("%q was changed to %q", in, given)
	}
	if !ok || (taken == 0) != (len(quick) == 0) {
		t.Fatalf("%q: took %d, answered %q", in, taken, quick)
	}
	if taken == 0 {
		return 0, false
	}
	conn := fuzzkit.NewConn(in[:taken])
	go func() { _ = n.api.ServeConn(conn) }() // its end is the connection's
	if served := sameDate(conn.Answered(t)); !bytes.Equal(sameDate(quick), served) {
		t.Errorf("%q:\nat once %.600q\nserved  %.600q", in[:taken], quick, served)
	}
	return taken, waited
}

// plainRequests are plain GETs, and others that are nearly so.
func plainRequests() (plain, other []string) {
	const host = " HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n"
	for _, key := range []string{"a", "get", "a//b/../c", `"'<>^{|}\`, "zero", "quoted", "latin", "utf8", "long", strings.Repeat("k", MaxKeyBytes), "@:;=,+&!$*()~-._0"} {
		get := "GET /kv/" + key + "?consistency=eventual" + host
		for _, fields := range []string{
			"", "Accept: */*\r\n", "accept: Application/Octet-Stream\r\n", "Accept: text/html, application/octet-stream;q=0.1\r\n", "Accept: \r\n",
			"User-Agent: curl/7.88.1\r\nAccept-Encoding: gzip, deflate\r\nConnection: Keep-Alive\r\n",
			"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\nVia: 1.1 dengine\r\n",
			"User-Agent: a\r\nUSER-AGENT: b\r\ncookie: a=b\r\nAuthorization:  Basic x \r\n",
		} {
			plain = append(plain, get+fields+"\r\n")
		}
	}
	plain = append(plain, "GET /kv/missing?consistency=eventual"+host+"\r\n")
	good := "GET /kv/a?consistency=eventual" + host
	other = []string{
		"GET /kv/longer?consistency=eventual" + host + "\r\n", "GET /kv/?consistency=eventual" + host + "\r\n",
		"GET /kv/" + strings.Repeat("k", MaxKeyBytes+1) + "?consistency=eventual" + host + "\r\n",
		"GET /kv/a?consistency=lease" + host + "\r\n", "GET /kv/a?consistency=" + host + "\r\n", "GET /kv/a?consistency=Eventual" + host + "\r\n",
		"GET /kv/a?consistency=eventual&max_staleness=1s" + host + "\r\n",
		"GET /kv/a?consistency=eventual&" + host + "\r\n", "GET /kv/%61?consistency=eventual" + host + "\r\n", "GET /kv/a#b?consistency=eventual" + host + "\r\n",
		"HEAD /kv/a?consistency=eventual" + host + "\r\n", "GET http://127.0.0.1:8081/kv/a?consistency=eventual" + host + "\r\n",
		"GET /kv/a?consistency=eventual HTTP/1.0\r\nHost: x\r\n\r\n", "GET /kv/a?consistency=eventual HTTP/1.1\nHost: x\n\n", "GET  /kv/a?consistency=eventual" + host + "\r\n",
		"GET /kv/a?consistency=eventual HTTP/1.1\r\n\r\n", "GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: \r\n\r\n", "GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: a:b\r\n\r\n",
		"GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: u@x\r\n\r\n", "GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: [::1]\r\n\r\n",
		good, good + "\r", good + "Host: x\r\n\r\n", good + "host: 127.0.0.1:8081\r\n\r\n", good + "Accept: a\r\nAccept: application/octet-stream\r\n\r\n",
		good + "Connection: close\r\n\r\n", good + "Connection: keep-alive, close\r\n\r\n", good + "Content-Length: 0\r\n\r\n", good + "Content-Length: 5\r\n\r\nabcde",
		good + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", good + "Expect: 100-continue\r\n\r\n", good + "Trailer: a\r\n\r\n", good + "Upgrade: dengine-writes\r\nConnection: Upgrade\r\n\r\n",
		good + "If-None-Match: *\r\n\r\n", good + "Dengine-Min-Index: 99999999\r\n\r\n", good + "Dengine-Consistency: lease\r\n\r\n", good + "Dengine-Max-Staleness: 1s\r\n\r\n",
		good + "User-Agent: a\r\n b\r\n\r\n", good + "User-Agent : a\r\n\r\n", good + "User-Agent: a\x00\r\n\r\n", good + "User-Agent: \xff\r\n\r\n", good + "User-Agent: a\rb\r\n\r\n",
		good + "User-Agent: a\nVia: b\r\n\r\n", good + ": a\r\n\r\n", good + "Accept\r\n\r\n", good + "Accept:a\r\n\r\n", good + "Unheard-Of: a\r\n\r\n", good + "A Host: a\r\n\r\n",
		"\r\n" + good + "\r\n", "GET /kv/", "GET /kv/a?consistency=eventual",
	}
	return plain, other
}

// A plain GET is answered at once as the server answers it, and so are several that come
// together, up to the first that is no plain one. All others are the server's.
func TestPlainGetsAreAnsweredAsTheServerDoes(t *testing.T) {
	n := alone(t)
	storePlain(t, n)
	plain, other := plainRequests()
	for _, in := range plain {
		if got, waited := samePlain(t, n, []byte(in)); got != len(in) || waited {
			t.Errorf("%q: %d of its %d bytes were answered at once (waited: %v)", in, got, len(in), waited)
		}
	}
	for _, in := range other {
		if got, _ := samePlain(t, n, []byte(in)); got != 0 {
			t.Errorf("%q: %d bytes were answered", in, got)
		}
		for _, before := range []string{plain[0] + plain[1], plain[2]} {
			if got, _ := samePlain(t, n, []byte(before+in+plain[0])); got != len(before) {
				t.Errorf("%q behind %d bytes: %d were answered at once", in, len(before), got)
			}
		}
	}
}

// A linearizable read waits, and whatever it finds, or does not, is answered as the server
// answers it. What came together waits together, up to an error.
func TestPlainGetsWaitAsTheServerDoes(t *testing.T) {
	n := alone(t)
	storePlain(t, n)
	const host = " HTTP/1.1\r\nHost: x\r\n\r\n"
	eventual, plain := "GET /kv/a?consistency=eventual"+host, "GET /kv/a"+host
	check := func(confirms bool) {
		t.Helper()
		for _, in := range []string{
			"GET /kv/a" + host, "GET /kv/a?consistency=linearizable" + host, "GET /kv/longer" + host, "GET /kv/missing" + host,
			"GET /kv/quoted HTTP/1.1\r\nHost: x\r\nAccept: application/octet-stream\r\n\r\n",
		} {
			for behind, joins := range map[string]bool{"": false, plain: confirms, eventual: confirms, "GET /kv/missing" + host: confirms, "GET /kv/longer" + host: false, "PUT ": false} {
				want := len(in)
				if joins {
					want += len(behind)
				}
				if got, waited := samePlain(t, n, []byte(in+behind)); got != want || !waited {
					t.Errorf("%q: %d bytes were answered, want %d; waited: %v", in+behind, got, want, waited)
				}
			}
			if got, waited := samePlain(t, n, []byte(eventual+in)); got != len(eventual) || waited {
				t.Errorf("%q: %d bytes were answered, waited: %v", eventual+in, got, waited)
			}
		}
	}
	check(true)
	rounds0 := n.Rounds()
	if got, _ := samePlain(t, n, []byte(strings.Repeat(plain, 20))); got != 20*len(plain) {
		t.Errorf("%d bytes of reads that came together were answered", got)
	}
	if got := n.Rounds() - rounds0; got > 1+20 { // one, and one each by the server
		t.Errorf("%d rounds for 20 reads that came together", got)
	}
	for _, why := range []error{errNotConfirmed, ErrClosed, ErrNoLeader} { // and now no round succeeds
		for _, r := range []*rounds{n.confirms, n.asks} {
			r.mu.Lock()
			r.run = func(r *round) { r.err = why }
			r.mu.Unlock()
		}
		check(false)
	}
}

// A read that is answered at once allocates nothing.
func TestPlainGetAllocatesNothing(t *testing.T) {
	if harness.Race {
		t.Skip("the race detector allocates")
	}
	n := alone(t)
	storePlain(t, n)
	for _, accept := range []string{"*/*", binaryType} {
		in := []byte("GET /kv/quoted?consistency=eventual HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nAccept: " + accept + "\r\n\r\n")
		out := make([]byte, 0, 4096)
		if got := testing.AllocsPerRun(1000, func() {
			if taken, _, _ := (quickAPI{n}).Now(in, out, plainDate); taken != len(in) {
				t.Fatal(taken)
			}
		}); got >= 1 { // other goroutines allocate meanwhile, if little
			t.Errorf("Accept %s: %v allocations", accept, got)
		}
	}
}

// What a setting forbids is forbidden at once too, and a default that it allows needs
// no query.
func TestPlainGetsKeepToTheSettings(t *testing.T) {
	named, bare := []byte("GET /kv/a?consistency=eventual HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("GET /kv/a HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, c := range []struct {
		level       Level
		weaker      bool
		named, bare bool // are answered
		wait        bool // the bare one
	}{{Linearizable, true, true, true, true}, {Linearizable, false, false, true, true}, {Lease, false, false, false, false}, {Eventual, false, true, true, false}} {
		n := alone(t, func(cfg *Config) { cfg.ReadLevel, cfg.WeakerReads = c.level, c.weaker })
		storePlain(t, n)
		if got, waited := samePlain(t, n, named); got > 0 != c.named || waited {
			t.Errorf("%+v: named %v, waited %v", c, got, waited)
		}
		if got, waited := samePlain(t, n, bare); got > 0 != c.bare || waited != c.wait {
			t.Errorf("%+v: bare %v, waited %v", c, got, waited)
		}
	}
}

// Whatever comes, what is answered at once is answered as the server answers it.
func FuzzPlainGet(f *testing.F) {
	plain, other := plainRequests()
	for _, in := range append(plain, other...) {
		if len(in) < 400 {
			f.Add([]byte(in))
			f.Add([]byte(plain[0] + in))
		}
	}
	n := alone(f)
	storePlain(f, n)
	f.Fuzz(func(t *testing.T, in []byte) { samePlain(t, n, in) })
}
