package node

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
)

// plainWrites are plain writes, and others that are nearly so.
func plainWrites() (plain, other []string) {
	const host = " HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n"
	put := "PUT /kv/a" + host
	for _, fields := range []string{
		"", "Accept: */*\r\n", "User-Agent: curl/7.88.1\r\nConnection: Keep-Alive\r\n", "content-type: text/plain\r\n", "Content-Type: application/octet-stream\r\n",
		"X-Forwarded-For: 127.0.0.1\r\nVia: 1.1 x\r\nAuthorization: Basic x\r\nCookie: a=b\r\n",
	} {
		plain = append(plain, put+fields+"Content-Length: 5\r\n\r\nvalue", put+fields+"Content-Length: 0\r\n\r\n", "DELETE /kv/a"+host+fields+"\r\n")
	}
	plain = append(plain, "DELETE /kv/get"+host+"Content-Length: 0\r\n\r\n", "PUT /kv/a//b/../c"+host+"Content-Length: 4\r\n\r\n\r\n\r\n",
		"PUT /kv/"+strings.Repeat("k", MaxKeyBytes)+host+"Content-Length: 1\r\n\r\n\x00")
	for _, line := range []string{
		"Content-Type: application/json", "Content-Type: Application/JSON ; charset=utf-8", "If-Match: *", "If-None-Match: *", "Idempotency-Key: k",
		"Dengine-Session: 000102030405060708090a0b0c0d0e0f", "Dengine-Sequence: 7", "Dengine-Acked: 1", "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close",
		"Content-Length: 5", "Content-Type: a\r\nContent-Type: b", "Host: x", "Trailer: a", "TE: trailers", "Upgrade: x", "Content-Encoding: gzip", "Unheard-Of: a", " a", "A:b", "A : b", "A: \x00",
	} {
		other = append(other, put+line+"\r\nContent-Length: 5\r\n\r\nvalue")
	}
	for _, length := range []string{"", "-1", "+5", "05", "5 ", "5,5", "0x5", "6", "99999999999999999999", "18446744073709551621"} {
		other = append(other, put+"Content-Length: "+length+"\r\n\r\nvalue")
	}
	return plain, append(other, put+"\r\nvalue", put+"\r\n", "DELETE /kv/a"+host+"Content-Length: 1\r\n\r\na", "PUT /kv/"+host+"Content-Length: 0\r\n\r\n",
		"PUT /kv/%61"+host+"Content-Length: 0\r\n\r\n", "PUT /kv/a?b"+host+"Content-Length: 0\r\n\r\n", "PUT /kv/a HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "PUT  /kv/a"+host+"Content-Length: 0\r\n\r\n", "put /kv/a"+host+"Content-Length: 0\r\n\r\n",
		"POST /kv/a"+host+"Content-Length: 0\r\n\r\n", "POST /kv"+host+"Content-Length: 2\r\n\r\n{}", "PUT /kv/"+strings.Repeat("k", MaxKeyBytes+1)+host+"Content-Length: 0\r\n\r\n",
		"PUT /kv/large"+host+"Content-Length: 2000\r\n\r\n"+strings.Repeat("x", 2000), "PUT /kv/a", "")
}

// anyWrite is what two writes in a row are answered differently.
var anyWrite = regexp.MustCompile(`\r\n(Dengine-Index: |Dengine-Writes: |Etag: |Date: )[^\r]*`)

// writeAtOnce has a write answered without the server, where it is.
func writeAtOnce(t *testing.T, n *Node, in string) (taken int, answer []byte) {
	t.Helper()
	given := []byte(in)
	taken, answer, next := quickAPI{n}.Now(given, nil, plainDate)
	if taken != 0 || len(answer) > 0 {
		t.Fatalf("%q: was taken without a wait: %d, %q", in, taken, answer)
	}
	if next != edge.NextWrite {
		return 0, nil
	}
	if taken, answer = askLater(t, n, next, given); string(given) != in {
		t.Fatalf("%q was changed to %q", in, given)
	}
	return taken, answer
}

// sameWrite compares the answer to a plain write with the server's to the same.
func sameWrite(t *testing.T, n *Node, in string) {
	t.Helper()
	taken, answer := writeAtOnce(t, n, in+"GET /kv/a")
	if taken != len(in) {
		t.Errorf("%q: %d of its %d bytes were taken", in, taken, len(in))
		return
	}
	conn := fuzzkit.NewConn([]byte(in))
	go func() { _ = n.api.ServeConn(conn) }() // its end is the connection's
	served := anyWrite.ReplaceAll(conn.Answered(t), []byte("\r\n$1"))
	if answer = anyWrite.ReplaceAll(answer, []byte("\r\n$1")); !bytes.Equal(answer, served) {
		t.Errorf("%q:\nat once %.600q\nserved  %.600q", in, answer, served)
	}
}

// A plain write is carried out once and answered as the server answers it, also where it
// is refused. All others are the server's.
func TestPlainWritesAreAnsweredAsTheServerDoes(t *testing.T) {
	n := alone(t, func(c *Config) { c.MaxValueBytes = 1000 })
	plain, other := plainWrites()
	for _, in := range plain {
		sameWrite(t, n, in)
	}
	for _, in := range other {
		if taken, _ := writeAtOnce(t, n, in); taken != 0 {
			t.Errorf("%q: %d bytes were taken", in, taken)
		}
	}
	for i := range uint64(3) {
		in := "PUT /kv/twice HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
		both := in + "abc" + in + "abd"
		taken, answers := writeAtOnce(t, n, both+"GET /kv/twice HTTP/1.1\r\nHost: x\r\n\r\n"+both)
		if taken != len(both) || bytes.Count(answers, []byte("HTTP/1.1 200 OK\r\n")) != 2 {
			t.Errorf("%d bytes of two writes of %d B were taken, and answered %q", taken, len(both), answers)
		}
		v, err := n.Get(context.Background(), []byte("twice"), ReadOptions{})
		if err != nil || string(v.Value) != "abd" || v.Writes != 2*(i+1) {
			t.Errorf("after %d writes: %+v, %v", 2*(i+1), v, err)
		}
	}
	c := n.core.Swap(nil)
	defer n.core.Store(c)
	for _, in := range plain { // and now none can be taken
		sameWrite(t, n, in)
	}
}

// What is taken for a plain write is the first request that comes, and the one that the
// server sees.
// isLong checks that a request is as long as a part of it says.
func isLong(t *testing.T, in []byte) {
	t.Helper()
	a := quickAPI{new(Node)}
	size, _ := a.Length(in)
	for n := range in[:min(len(in), 500)] {
		if s, _ := a.Length(in[:n]); s > 0 && s != size || size > 0 && n >= size && s != size {
			t.Errorf("%d bytes say %d, all of them %d: %q", n, s, size, in)
		}
	}
}

func FuzzPlainWrite(f *testing.F) {
	plain, other := plainWrites()
	for _, in := range append(plain, other...) {
		if len(in) < 400 {
			f.Add([]byte(in))
			f.Add([]byte(in + plain[0]))
		}
	}
	view := serverView()
	f.Fuzz(func(t *testing.T, in []byte) {
		var w Write
		if size := parsePlainWrite(in, &w); size > 0 {
			seesOnly(t, view, in[:size], &w)
		}
		isLong(t, in)
	})
}
