package node_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// write writes until a node acknowledges it, which has then applied it, and returns
// that node.
func (c *cluster) write(key, value string) (at int) {
	c.t.Helper()
	harness.Eventually(c.t, "a write to be acknowledged", func() error {
		err := errors.New("no node runs")
		for _, i := range c.others(-1) {
			if _, err = c.nodes[i].Put(context.Background(), []byte(key), []byte(value), node.Condition{}); err == nil {
				at = i
				return nil
			}
		}
		return err
	})
	return at
}

// A single writer writes a, then b, then a, …: in one state a is never less than b
// and never more than one ahead.
func TestReadsOfManyKeysSeeOneState(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	c.write("s/a", "1")
	c.write("s/b", "1")
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	var reading atomic.Int64
	reader := func(name string, read func() (a, b []byte, err error)) {
		reading.Add(1)
		readers.Go(func() {
			defer reading.Add(-1)
			enough := 30 // values of a
			if harness.Race {
				enough = 10
			}
			pause := time.NewTicker(time.Millisecond)
			defer pause.Stop()
			for last, seen, reads := 0, 0, 0; seen < enough && ctx.Err() == nil; reads++ {
				if reads%16 == 0 { // leave some of the machine to the writer
					<-pause.C
				}
				a, b, err := read()
				if err != nil {
					continue // there may be no leader for a moment
				}
				x, y := number(a), number(b)
				if x < y || y < x-1 {
					t.Errorf("%s: a=%d and b=%d were never there together", name, x, y)
					return
				}
				if x != last {
					last = x
					seen++
				}
			}
		})
	}
	for i, level := range []node.Level{node.Linearizable, node.Lease, node.Eventual} {
		n, o := c.nodes[i], node.ReadOptions{Level: level}
		reader("scan at "+level.String(), func() (a, b []byte, err error) {
			p, err := n.Scan(ctx, node.Range{Prefix: []byte("s/")}, o)
			if err != nil || len(p.Items) != 2 {
				return nil, nil, fmt.Errorf("%d items: %w", len(p.Items), err)
			}
			return p.Items[0].Value, p.Items[1].Value, nil
		})
		reader("many at "+level.String(), func() (a, b []byte, err error) {
			v, index, err := n.GetMany(ctx, [][]byte{[]byte("s/a"), []byte("s/b")}, o)
			if err != nil {
				return nil, nil, err
			}
			if v[0].Index != index || v[1].Index != index {
				t.Errorf("values of states %d and %d, in a read of state %d", v[0].Index, v[1].Index, index)
			}
			return v[0].Value, v[1].Value, nil
		})
	}
	deadline := time.Now().Add(harness.Patience)
	for i := 2; reading.Load() > 0; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d readers have not seen enough after %d writes", reading.Load(), i)
		}
		c.write("s/a", strconv.Itoa(i))
		c.write("s/b", strconv.Itoa(i))
	}
}

func number(b []byte) int {
	i, _ := strconv.Atoi(string(b)) // a key that is not there yet: 0
	return i
}

func TestScan(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	if a := c.do("GET", c.api(0, "/kv"), ""); a.status != 200 || a.body != `{"items":[]}` || a.header.Get("Dengine-Index") == "" {
		t.Errorf("of nothing: %+v", a)
	}
	var last node.Result
	for _, kv := range [][2]string{{"b", "2"}, {"a\"", "\xff\x00"}, {"é", "4"}, {"\xff", "5"}, {"a/ 1", "q\"\n"}, {"b", "3"}} {
		var err error
		if last, err = c.nodes[0].Put(t.Context(), []byte(kv[0]), []byte(kv[1]), node.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	tag := func(key string) string {
		return strconv.Quote(c.do("GET", c.api(0, "/kv/"+key), "").header.Get("ETag"))
	}
	a := c.do("GET", c.api(0, "/kv"), "", "Dengine-Min-Index: "+strconv.FormatUint(last.Index, 10))
	want := `{"items":[` +
		`{"key":"a\"","value_base64":"/wA=","etag":` + tag("a%22") + `,"writes":1},` +
		`{"key":"a/ 1","value":"q\"\n","etag":` + tag("a/%201") + `,"writes":1},` +
		`{"key":"b","value":"3","etag":` + tag("b") + `,"writes":2},` +
		`{"key":"é","value":"4","etag":` + tag("%c3%a9") + `,"writes":1},` +
		`{"key_base64":"/w==","value":"5","etag":` + tag("%ff") + `,"writes":1}]}`
	if a.status != 200 || a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Dengine-Node") != "n1" || a.header.Get("Dengine-Index") != strconv.FormatUint(last.Index, 10) {
		t.Errorf("headers %v", a.header)
	}
	h := c.do("HEAD", c.api(0, "/kv"), "")
	if h.status != 200 || h.body != "" || h.header.Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("HEAD: %+v", h)
	}
	// Parameters are form values: plus signs and percent-encodings are decoded.
	for query, keys := range map[string]string{
		"prefix=a": "a\" a/ 1", "prefix=a/+": "a/ 1", "prefix=a%2F%201": "a/ 1", "prefix=%ff": "\xff", "%70refix=b": "b",
		"start=b": "b é \xff", "prefix=&start=a0&limit=1&": "b", "prefix=b&cursor=&start=": "b", "prefix=zz": "",
	} {
		if got := c.page(0, query).keys(); got != keys {
			t.Errorf("%s: %q, want %q", query, got, keys)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	for query, says := range map[string]string{
		"limit=0":                  "limit: bad input",
		"limit=":                   "limit: bad input",
		"limit=1001":               "from 1 to 1000",
		"limit=-1":                 "limit: bad input",
		"limit=99999999999999999":  "limit: bad input",
		"limit=1&limit=2":          "limit: bad input: given twice",
		"prefix=a&%70refix=a":      "prefix: bad input: given twice",
		"prefix=a&start=b":         "start: bad input",
		"prefix=b&start=a":         "start: bad input",
		"prefix=%f":                "prefix: bad input",
		"start=%zz":                "start: bad input",
		"%zz=1":                    "query: bad input",
		"sort=desc":                `unknown parameter \"sort\"`,
		"Prefix=a":                 `unknown parameter \"Prefix\"`,
		"cursor=abc":               "cursor: bad input",
		"consistency=strong":       "consistency",
		"consistency=&consistency": "consistency: bad input: given twice",
		"max_staleness=soon":       "max_staleness",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := c.do(method, c.api(0, "/kv?"+query), "")
			if a.status != 400 || (method == "GET" && (a.code() != "bad_request" || !strings.Contains(a.body, says))) {
				t.Errorf("%s %s: %+v, want %q", method, query, a, says)
			}
		}
	}
	if a := c.do("GET", c.api(0, "/kv?prefix="+strings.Repeat("k", node.MaxKeyBytes+1)), ""); a.status != 413 || !strings.Contains(a.body, "prefix: too large") {
		t.Errorf("a prefix that no key can have: %+v", a)
	}
	if a := c.do("DELETE", c.api(0, "/kv"), ""); a.status != 405 || a.header.Get("Allow") != "GET, HEAD, POST" || a.header.Get("Dengine-Outcome") != "not-applied" {
		t.Errorf("DELETE: %+v", a)
	}
	for _, r := range []node.Range{{Limit: -1}, {Limit: node.MaxReadKeys + 1}, {Prefix: []byte("a"), Start: []byte("b")}} {
		if p, err := c.nodes[0].Scan(t.Context(), r, node.ReadOptions{}); !errors.Is(err, node.ErrBadInput) {
			t.Errorf("%+v: %+v, %v", r, p, err)
		}
	}
}
