package node_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// names are the headers of an answer.
func (a answer) names() []string { return slices.Sorted(maps.Keys(a.header)) }

// What a bundle's usual writes are answered, past the server, is what the server would
// answer, apart from the date. Each gets its own answer, also where many share an entry.
func TestFlocksAnswerAsTheServerDoes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	session, other := c.openSession(l), c.openSession(l)
	conn, r := c.bundle(l)
	send := func(requests ...string) []answer {
		t.Helper()
		var all []byte
		for at, request := range requests {
			all = append(all, framed(uint32(at), request)...)
		}
		if _, err := conn.Write(all); err != nil {
			t.Fatal(err)
		}
		answers := make([]answer, len(requests))
		for range requests {
			at, a := c.answered(r)
			answers[at] = a
		}
		return answers
	}
	write := func(method, key, session string, n int, lines, value string) string {
		return fmt.Sprintf("%s /kv/%s HTTP/1.1\r\nHost: x\r\n%s\r\nDengine-Sequence: %d\r\n%sContent-Length: %d\r\n\r\n%s", method, key, session, n, lines, len(value), value)
	}

	const writes = 50
	var requests []string
	for n := 1; n <= writes; n++ {
		lines := ""
		if n%10 == 0 { // one for the server
			lines = fmt.Sprintf("Idempotency-Key: k%d\r\n", n)
		}
		requests = append(requests, write("PUT", fmt.Sprintf("f%d", n), session, n, lines, fmt.Sprint(n)))
	}
	for i, a := range send(requests...) {
		n := i + 1
		if quick := a.header.Get("Date") == ""; a.status != 200 || a.body != "{}" || quick == (n%10 == 0) {
			t.Errorf("%d: %+v", n, a)
		}
		got := c.do("GET", c.api(l, fmt.Sprintf("/kv/f%d", n)), "")
		if got.header.Get("ETag") != a.header.Get("ETag") || got.header.Get("Dengine-Writes") != a.header.Get("Dengine-Writes") || got.body != fmt.Sprintf(`{"value":"%d"}`, n) {
			t.Errorf("%d was answered %+v, and is %+v", n, a, got)
		}
	}

	const unknown, odd = "Dengine-Session: 00000000000000000000000000000000", "A:b\r\n" // odd is for the server
	for i, pair := range [][2]string{
		{write("PUT", "g", session, 101, "", "x"), write("PUT", "g", other, 101, odd, "x")},
		{write("PUT", "f1", session, 1, "", "1"), write("PUT", "f1", session, 1, odd, "1")}, // repeats
		{write("DELETE", "f2", session, 102, "", ""), write("DELETE", "f3", other, 102, odd, "")},
		{write("DELETE", "none", session, 103, "", ""), write("DELETE", "none", other, 103, odd, "")},
		{write("PUT", "g", unknown, 1, "", "x"), write("PUT", "g", unknown, 1, odd, "x")},
		{write("PUT", "g", session, 5000, "", "x"), write("PUT", "g", other, 5000, odd, "x")},
	} {
		quick, served := send(pair[0])[0], send(pair[1])[0]
		if plain := i != 1 && i < 4; served.header.Get("Date") == "" || plain != (quick.header.Get("Date") == "") {
			t.Errorf("%d: past the server %+v, by the server %+v", i, quick, served)
		}
		served.header.Del("Date")
		quick.header.Del("Date")
		for _, same := range []string{"Content-Type", "Dengine-Node", "Dengine-Outcome", "Idempotency-Replayed", "Dengine-Sequence"} {
			if quick.header.Get(same) != served.header.Get(same) {
				t.Errorf("%d: %s: past the server %+v, by the server %+v", i, same, quick, served)
			}
		}
		if quick.status != served.status || quick.code() != served.code() || !slices.Equal(quick.names(), served.names()) {
			t.Errorf("%d: past the server %+v, by the server %+v", i, quick, served)
		}
	}
}
