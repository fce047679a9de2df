package node

import (
	"bufio"
	"bytes"
	"context"
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

// askAll has the requests of several connections answered together.
func askAll(t *testing.T, n *Node, what edge.Next, in []string) []*plainAsk {
	t.Helper()
	var asks []edge.Ask
	var all []*plainAsk
	for _, one := range in {
		a := &plainAsk{in: []byte(one)}
		asks, all = append(asks, a), append(all, a)
	}
	quickAPI{n}.Later(what, asks, func() []byte { return plainDate })
	for i, a := range all {
		if a.replies != 1 {
			t.Errorf("connection %d got %d replies", i, a.replies)
		}
	}
	return all
}

// Writes of many connections that came together are few proposals. Each connection gets its own
// answers, in their order, and one whose write is refused costs the others nothing.
func TestPlainWritesOfManyConnections(t *testing.T) {
	const large = 1000
	n := alone(t, func(c *Config) { c.MaxValueBytes, c.MaxEntryBytes = large, 20*large })
	put := func(key, value string) string {
		return fmt.Sprintf("PUT /kv/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", key, len(value), value)
	}
	const many = 60
	refused := map[int]bool{0: true, 1: true, 17: true, many - 1: true}
	var in []string
	for i := range many {
		one := put(fmt.Sprint("k", i), "first") + put(fmt.Sprint("k", i), string(bytes.Repeat([]byte{'x'}, large)))
		if refused[i] {
			one = put("much", string(bytes.Repeat([]byte{'x'}, large+1))) + one
		}
		in = append(in, one+"GET /kv/a")
	}
	before := n.core.Load().raft.LastIndex()
	answers := make([][]byte, many)
	for left := in; len(left) > 0; { // what there was no room for comes again, as from a loop
		all := askAll(t, n, edge.NextWrite, left)
		left = nil
		for i, a := range all {
			if more := string(a.in[a.taken:]); a.taken > 0 && more != "GET /kv/a" {
				left = append(left, more)
			}
			at := i
			if len(all) < many { // only second writes are left
				_, err := fmt.Sscanf(string(a.in), "PUT /kv/k%d ", &at)
				if err != nil {
					t.Fatal(err)
				}
			}
			answers[at] = append(answers[at], a.answers...)
		}
	}
	for i, got := range answers {
		if refused[i] {
			if len(got) > 0 {
				t.Errorf("connection %d was answered %q", i, got)
			}
			continue
		}
		first, second, two := bytes.Cut(got, []byte("{}HTTP/1.1 200 OK\r\n"))
		if !two || bytes.Contains(second, []byte("HTTP/1.1 ")) ||
			!bytes.Contains(first, []byte("Dengine-Writes: 1\r\n")) || !bytes.Contains(second, []byte("Dengine-Writes: 2\r\n")) {
			t.Errorf("connection %d was answered %q", i, got)
		}
		v, err := n.Get(context.Background(), fmt.Append(nil, "k", i), ReadOptions{})
		if err != nil || len(v.Value) != large || v.Writes != 2 {
			t.Errorf("connection %d: %+v, %v", i, v, err)
		}
	}
	if entries := n.core.Load().raft.LastIndex() - before; entries > 2*2*many/20 {
		t.Errorf("%d entries for %d writes of which 20 fit in one", entries, 2*many)
	}
}

// Reads of many connections that came together wait for one round, and each connection gets its
// own answers.
func TestPlainReadsOfManyConnections(t *testing.T) {
	n := alone(t)
	storePlain(t, n)
	get := func(key string) string {
		return "GET /kv/" + key + " HTTP/1.1\r\nHost: x\r\nAccept: " + binaryType + "\r\n\r\n"
	}
	var in, want []string
	for range 20 {
		in = append(in, get("a")+get("quoted"), get("missing"), get("get")+get("longer")+get("a"))
		want = append(want, "alice", "key_not_found", "a key like any other")
	}
	before, reads := n.Rounds(), n.counters.reads.Load()
	all := askAll(t, n, edge.NextRead, in)
	if rounds := n.Rounds() - before; rounds != 1 {
		t.Errorf("%d rounds for %d connections", rounds, len(in))
	}
	count := 0
	for i, a := range all {
		taken := len(in[i])
		if i%3 == 2 {
			taken = len(get("get")) // what is behind it is long, and the server's
		}
		if a.taken != taken || !bytes.Contains(a.answers, []byte(want[i])) {
			t.Errorf("connection %d: %d of %d bytes were taken, and answered %q", i, a.taken, taken, a.answers)
		}
		count += bytes.Count(a.answers, []byte("HTTP/1.1 "))
	}
	if got := n.counters.reads.Load() - reads; got != uint64(count) || count != 80 {
		t.Errorf("%d reads were counted, %d were answered", got, count)
	}
}

// The writes that a client pipelines over a new connection are few proposals, though the first
// of them is the server's.
func TestPipelinedWritesAreFewProposals(t *testing.T) {
	t.Parallel()
	n := alone(t)
	c, err := net.Dial("tcp", n.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	const many = 1000
	var all strings.Builder
	for i := range many {
		fmt.Fprintf(&all, "PUT /kv/k%d HTTP/1.1\r\nHost: x\r\nContent-Length: 256\r\n\r\n%-256d", i, i)
	}
	before := n.core.Load().raft.LastIndex()
	go func() { _, _ = io.WriteString(c, all.String()) }()
	r := bufio.NewReader(c)
	for i := range many {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK || resp.Header.Get(HeaderWrites) != "1" {
			t.Fatalf("answer %d: %+v", i, resp)
		}
	}
	if entries := n.core.Load().raft.LastIndex() - before; entries > many/10 {
		t.Errorf("%d entries for %d writes", entries, many)
	}
	for i := range many {
		v, err := n.Get(context.Background(), fmt.Append(nil, "k", i), ReadOptions{})
		if want := fmt.Sprintf("%-256d", i); err != nil || string(v.Value) != want {
			t.Fatalf("k%d is %.20q, %v", i, v.Value, err)
		}
	}
}

// The ends of reads that the server answers are not looked for: it answers a row of them in one
// go.
func TestLengthIsOfWhatIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for level, known := range map[string]bool{"": true, "?consistency=eventual": true, "?consistency=linearizable": true, "?consistency=lease": false} {
		get := "GET /kv/a" + level + " HTTP/1.1\r\nHost: x\r\n\r\n"
		want := 0
		if known {
			want = len(get)
		}
		a := quickAPI{&Node{cfg: Config{ReadLevel: Linearizable, WeakerReads: true}}}
		if size, part := a.Length([]byte(get + get)); size != want || part {
			t.Errorf("%q: %d, %v; want %d", level, size, part, want)
		}
	}
}
