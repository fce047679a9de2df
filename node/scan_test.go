package node_test

import (
	"context"
	"encoding/json"
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
	harness.Eventually(c.t, "a write to be acknowledged", func() (err error) {
		for i, n := range c.nodes {
			if _, err = n.Put(context.Background(), []byte(key), []byte(value), node.Condition{}); err == nil {
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
			const enough = 30 // values of a
			for last, seen := 0, 0; seen < enough && ctx.Err() == nil; {
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

// A page is never of an older state than the page before it, whichever node it
// comes from.
func TestPagesNeverGoBack(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	for i := range 30 {
		value := strconv.Itoa(i)
		c.write("s/a", value)
		l := c.write("s/b", value)
		first := c.page(l, "prefix=s/&limit=1&consistency=eventual")
		for _, f := range c.others(l) {
			p := c.page(f, "prefix=s/&consistency=eventual&cursor="+first.Cursor)
			if len(p.Items) != 1 || p.Items[0].Value != value || p.Cursor != "" {
				t.Fatalf("the second page at %s: %+v, and the first one was of b=%s", c.configs[f].ID, p, value)
			}
		}
	}
}

// jsonPage is an answer of GET /kv.
type jsonPage struct {
	Items []struct {
		Key, Value, ETag string
		KeyBytes         []byte `json:"key_base64"`
		Writes           int
	}
	Cursor string
}

func (p jsonPage) keys() string {
	var keys []string
	for _, it := range p.Items {
		keys = append(keys, it.Key+string(it.KeyBytes))
	}
	return strings.Join(keys, " ")
}

func (c *cluster) page(i int, query string) jsonPage {
	c.t.Helper()
	a := c.do("GET", c.api(i, "/kv?"+query), "")
	var p jsonPage
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != 200 {
		c.t.Fatalf("%s: %+v, %v", query, a, err)
	}
	return p
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

func TestScanPages(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	for i := range 25 {
		c.write(fmt.Sprintf("p/%02d", i), "v")
	}
	c.write("q", "v")
	var got []string
	cursor := ""
	for {
		p := c.page(0, "prefix=p/&start=p/03&limit=10&cursor="+cursor)
		got = append(got, p.keys())
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	if s := strings.Join(got, " | "); s != "p/03 p/04 p/05 p/06 p/07 p/08 p/09 p/10 p/11 p/12 | p/13 p/14 p/15 p/16 p/17 p/18 p/19 p/20 p/21 p/22 | p/23 p/24" {
		t.Errorf("pages %s", s)
	}
	// 100 unless it is said.
	for i := range 101 {
		c.write(fmt.Sprintf("r/%03d", i), "v")
	}
	p := c.page(0, "prefix=r/")
	if len(p.Items) != 100 || p.Cursor == "" {
		t.Errorf("%d items, cursor %q", len(p.Items), p.Cursor)
	}
	// What was written and deleted meanwhile counts; a cursor alone knows its prefix.
	if _, err := c.nodes[0].Delete(t.Context(), []byte("r/100"), node.Condition{}); err != nil {
		t.Fatal(err)
	}
	if rest := c.page(0, "cursor="+p.Cursor); len(rest.Items) != 0 || rest.Cursor != "" {
		t.Errorf("after the last key went: %+v", rest)
	}
	c.write("r/2", "v")
	if rest := c.page(0, "limit=1000&cursor="+p.Cursor); rest.keys() != "r/2" {
		t.Errorf("after another key came: %+v", rest)
	}
	for query, says := range map[string]string{
		"prefix=r&cursor=" + p.Cursor:  "cursor: bad input: it is of a scan with the prefix \\\"r/\\\"",
		"prefix=&cursor=" + p.Cursor:   "cursor: bad input: it is of a scan with the prefix",
		"start=r/2&cursor=" + p.Cursor: "cursor: bad input: it is of a scan that began before",
		"start=q&cursor=" + p.Cursor:   "start: bad input",
		"cursor=x" + p.Cursor:          "cursor: bad input",
		"cursor=" + p.Cursor[:4]:       "cursor: bad input",
	} {
		if a := c.do("GET", c.api(0, "/kv?"+query), ""); a.status != 400 || !strings.Contains(a.body, says) {
			t.Errorf("%s: %+v, want %q", query, a, says)
		}
	}
}

// A cursor carries the index that the next page waits for.
func TestCursorOfAStateToCome(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadTimeout = 50e6 })
	c.write("a", "v")
	const cursor = "AcCEPQBh" // format 1, index 1,000,000, no prefix, key a
	for _, level := range []string{"linearizable", "lease", "eventual"} {
		if a := c.do("GET", c.api(0, "/kv?consistency="+level+"&cursor="+cursor), ""); a.status != 503 || a.code() != "behind" {
			t.Errorf("%s: %+v", level, a)
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
