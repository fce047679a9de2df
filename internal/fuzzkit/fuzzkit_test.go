package fuzzkit_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/fuzzkit"
)

// What the reader of requests understands, and what it leaves for the next one.
func TestReadRequest(t *testing.T) {
	t.Parallel()
	const next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
	for in, want := range map[string]struct {
		target, body string
		err          error
	}{
		next: {target: "/next"},
		"PUT /a%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + next:                                   {target: "/a%zz", body: "abc"},
		"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n0\r\nT: v\r\n\r\n" + next: {target: "/a", body: "abc"},
		"":                          {err: io.EOF},
		"GET / HTTP":                {err: io.ErrUnexpectedEOF},
		"GET / /a HTTP/1.1\r\n\r\n": {err: fuzzkit.ErrMalformed},
		"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab":                {err: io.ErrUnexpectedEOF},
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc": {err: io.ErrUnexpectedEOF},
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n":    {err: fuzzkit.ErrMalformed},
	} {
		r := bufio.NewReader(strings.NewReader(in))
		q, err := fuzzkit.ReadRequest(r)
		if !errors.Is(err, want.err) {
			t.Errorf("%q: %v, want %v", in, err, want.err)
			continue
		}
		if err != nil {
			continue
		}
		if q.Target != want.target || string(q.Body) != want.body || q.Host != "x" {
			t.Errorf("%q: %+v", in, q)
		}
		if rest, _ := io.ReadAll(r); string(rest) != next && len(rest) > 0 {
			t.Errorf("%q: %q is left", in, rest)
		}
	}
}

// recorder is a test that only notes that it has failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// A check that nothing fails would find nothing.
func TestUnderstoodSeesASmuggledRequest(t *testing.T) {
	t.Parallel()
	in := []byte("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n....")
	whole := fuzzkit.Request{Method: "PUT", Target: "/a", Host: "x", Body: in[len(in)-32:]}
	short := whole
	short.Body = nil
	for _, c := range []struct {
		got  []fuzzkit.Request
		fail bool
	}{
		{[]fuzzkit.Request{whole}, false},
		{[]fuzzkit.Request{short, {Method: "GET", Target: "/b", Host: "x"}}, true},
		{[]fuzzkit.Request{whole, {Method: "GET", Target: "/b", Host: "x"}}, true},
	} {
		r := new(recorder)
		if fuzzkit.Understood(r, in, c.got); r.failed != c.fail {
			t.Errorf("%+v: failed %v", c.got, r.failed)
		}
	}
}
