package node_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

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
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadTimeout = 2 * time.Second })
	c.write("a", "v")
	const cursor = "AcCEPQBh" // format 1, index 1,000,000, no prefix, key a
	for _, level := range []string{"linearizable", "lease", "eventual"} {
		if a := c.do("GET", c.api(0, "/kv?consistency="+level+"&cursor="+cursor), ""); a.status != 503 || a.code() != "behind" {
			t.Errorf("%s: %+v", level, a)
		}
	}
}
