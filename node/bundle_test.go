package node_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/harness"
)

// bundle opens a connection for many writes at once.
func (c *cluster) bundle(i int) (net.Conn, *bufio.Reader) {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.configs[i].HTTPListen)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /dengine/writes HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: dengine-writes\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	r := edge.NewFrameReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "dengine-writes" {
		c.t.Fatalf("%+v, %v", resp, err)
	}
	return conn, r
}

func framed(place uint32, request string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	return append(binary.BigEndian.AppendUint32(b, place), request...)
}

// answered reads the next answer.
func (c *cluster) answered(r *bufio.Reader) (uint32, answer) {
	c.t.Helper()
	place, block, err := edge.NextFrame(r)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(block))), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return place, answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// Many writes of a session go over one connection, each is answered at its place, and
// a repeat there is the same repeat as anywhere else.
func TestWritesInABundle(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	session := c.openSession(l)
	conn, r := c.bundle(l)
	const writes = 100
	put := func(n int) string {
		return fmt.Sprintf("PUT /kv/b%d HTTP/1.1\r\nHost: x\r\n%s\r\nDengine-Sequence: %d\r\nDengine-Acked: 0\r\nContent-Length: 1\r\n\r\nx", n, session, n+1)
	}
	var all []byte
	for n := range writes {
		all = append(all, framed(uint32(n), put(n))...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint32]answer)
	for range writes {
		at, a := c.answered(r)
		if a.status != 200 || a.header.Get("Dengine-Sequence") != fmt.Sprint(at+1) || a.header.Get("Dengine-Node") != c.configs[l].ID {
			t.Errorf("at %d: %+v", at, a)
		}
		seen[at] = a
	}
	if len(seen) != writes {
		t.Errorf("%d of %d were answered", len(seen), writes)
	}
	again := c.do("PUT", c.api(l, "/kv/b7"), "x", session, "Dengine-Sequence: 8")
	if again.status != 200 || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Dengine-Index") != seen[7].header.Get("Dengine-Index") {
		t.Errorf("repeated: %+v, at first %+v", again, seen[7])
	}
	if _, err := conn.Write(framed(0, "GET /dengine/writes HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: dengine-writes\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, a := c.answered(r); a.status != 426 {
		t.Errorf("a bundle in a bundle: %+v", a)
	}
	f := c.others(l)[0]
	conn, r = c.bundle(f)
	if _, err := conn.Write(framed(0, put(0))); err != nil {
		t.Fatal(err)
	}
	if _, a := c.answered(r); a.status != 503 || a.code() != "not_leader" || a.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("at a follower: %+v", a)
	}
	if a := c.do("GET", c.api(l, "/dengine/writes"), ""); a.status != 426 || a.code() != "upgrade_required" {
		t.Errorf("without Upgrade: %+v", a)
	}
}

// A node that closes answers what is under way in a bundle, and waits for nobody who
// keeps one open.
func TestCloseEndsBundles(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	session := c.openSession(l)
	conn, r := c.bundle(l)
	idle, _ := c.bundle(l)
	const writes = 64
	for n := range writes {
		if _, err := conn.Write(framed(uint32(n), fmt.Sprintf("PUT /kv/c%d HTTP/1.1\r\nHost: x\r\n%s\r\nDengine-Sequence: %d\r\nContent-Length: 1\r\n\r\nx", n, session, n+1))); err != nil {
			t.Fatal(err)
		}
	}
	if at, a := c.answered(r); a.status != 200 { // so all of them have come, or are on their way
		t.Fatalf("at %d: %+v", at, a)
	}
	began := time.Now()
	c.stop(l)
	if took := time.Since(began); took > harness.Patience/2 {
		t.Errorf("Close took %v", took)
	}
	for {
		_, block, err := edge.NextFrame(r)
		if err != nil {
			break
		}
		if !strings.HasPrefix(string(block), "HTTP/1.1 200 ") && !strings.Contains(string(block), "Dengine-Outcome: ") {
			t.Errorf("got %q", block)
		}
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle one was sent something")
	}
}
