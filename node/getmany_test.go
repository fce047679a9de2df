package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

func TestGetMany(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.MaxValueBytes = 100 }) // a list of keys may be longer than any write
	c.write("a", "1")
	c.write("\xff", "\xff\x00")
	c.write("c", "old")
	c.write("c", "new\n")
	tag := func(key string) string {
		return strconv.Quote(c.do("GET", c.api(0, "/kv/"+key), "").header.Get("ETag"))
	}
	const json = "Content-Type: application/json"
	a := c.do("POST", c.api(0, "/kv/get?consistency=eventual"), `{"keys_base64":["/w==","Yg=="],"keys":["c","a","c"]}`, json)
	item := `{"key":"c","found":true,"value":"new\n","etag":` + tag("c") + `,"writes":2}`
	want := `{"items":[` + item + `,{"key":"a","found":true,"value":"1","etag":` + tag("a") + `,"writes":1},` + item +
		`,{"key_base64":"/w==","found":true,"value_base64":"/wA=","etag":` + tag("%ff") + `,"writes":1},{"key":"b","found":false}]}`
	if a.status != 200 || a.body != want {
		t.Errorf("got  %d %s\nwant %s", a.status, a.body, want)
	}
	if a.header.Get("Dengine-Node") != "n1" || a.header.Get("Dengine-Index") == "" || a.header.Get("Dengine-Outcome") != "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.header)
	}
	// As many as may be, and the longest.
	keys := make([]string, node.MaxReadKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("%0*d", node.MaxKeyBytes, i)
	}
	if a := c.do("POST", c.api(0, "/kv/get"), `{"keys":["`+strings.Join(keys, `","`)+`"]}`); a.status != 200 || strings.Count(a.body, `"found":false`) != len(keys) {
		t.Errorf("1000 of the longest keys: %d %.200s", a.status, a.body)
	}
	// /kv/get is a key like any other for the other methods.
	if w := c.do("PUT", c.api(0, "/kv/get"), "v"); w.status != 200 {
		t.Errorf("PUT of the key get: %+v", w)
	}
	if r := c.do("GET", c.api(0, "/kv/get"), ""); r.body != `{"value":"v"}` {
		t.Errorf("GET of the key get: %+v", r)
	}
	if d := c.do("DELETE", c.api(0, "/kv/get"), ""); d.status != 200 {
		t.Errorf("DELETE of the key get: %+v", d)
	}
	for path, allow := range map[string]string{"/kv/get": "GET, HEAD, PUT, DELETE, POST", "/kv/g%65t": "GET, HEAD, PUT, DELETE"} {
		if p := c.do("PATCH", c.api(0, path), ""); p.status != 405 || p.header.Get("Allow") != allow {
			t.Errorf("PATCH %s: %+v", path, p)
		}
	}
}

func TestGetManyRefuses(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadTimeout, cfg.MaxValueBytes = 2*time.Second, 200_000 })
	c.write("big", strings.Repeat("v", 100_000))
	c.write("ctl", strings.Repeat("\x01", 20_000))
	const json = "Content-Type: application/json"
	many := func(n int, key string) string {
		return `"` + strings.Repeat(key+`","`, n-1) + key + `"`
	}
	long := strings.Repeat("k", node.MaxKeyBytes+1)
	for _, s := range []struct {
		query, body, header string
		status              int
		code, says          string
	}{
		{"", ``, json, 400, "bad_request", "JSON object with keys, keys_base64"},
		{"", `["a"]`, json, 400, "bad_request", "JSON object with keys, keys_base64"},
		{"", `{}`, json, 400, "bad_request", "keys: bad input: there are none"},
		{"", `{"keys":[]}`, json, 400, "bad_request", "keys: bad input: there are none"},
		{"", `{"keys":"a"}`, json, 400, "bad_request", "keys: bad input: must be a list"},
		{"", `{"keys":null}`, json, 400, "bad_request", "keys: bad input: must be a list"},
		{"", `{"keys":{"a":"b"}}`, json, 400, "bad_request", "keys: bad input: must be a list"},
		{"", `{"keys":[1]}`, json, 400, "bad_request", "keys: bad input: must be a string"},
		{"", `{"keys":[["a"]]}`, json, 400, "bad_request", "keys: bad input: must be a string"},
		{"", `{"keys":["a",]}`, json, 400, "bad_request", "not JSON"},
		{"", `{"keys":["a" "b"]}`, json, 400, "bad_request", "not JSON"},
		{"", `{"keys":["a"`, json, 400, "bad_request", "ends too early"},
		{"", `{"keys":["a"]`, json, 400, "bad_request", "ends too early"},
		{"", `{"keys":["a"]} x`, json, 400, "bad_request", "data after"},
		{"", `{"keys":["a"],"key":"a"}`, json, 400, "bad_request", `unknown field \"key\"`},
		{"", `{"keys":["a"],"keys":["b"]}`, json, 400, "bad_request", "keys: bad input: given twice"},
		{"", `{"keys":["a",""]}`, json, 400, "bad_request", "number 2 of the keys: key: bad input: it is empty"},
		{"", `{"keys":["\ud800"]}`, json, 400, "bad_request", "keys: bad input: half of a surrogate pair"},
		{"", "{\"keys\":[\"\xff\"]}", json, 400, "bad_request", "UTF-8"},
		{"", `{"keys_base64":["YQ=="," "]}`, json, 400, "bad_request", "keys_base64: bad input: not base64"},
		{"", `{"keys":["` + long + `"]}`, json, 413, "too_large", "number 1 of the keys: key: too large: 4097 bytes"},
		{"", `{"keys":[` + many(500, "a") + `],"keys_base64":[` + many(501, "YQ==") + `]}`, json, 413, "too_large", "more than 1000 keys"},
		{"", `{"keys":[` + many(1000, "big") + `]}`, json, 413, "too_large", "ask for fewer keys"},
		{"", `{"keys":[` + many(1000, "ctl") + `]}`, json, 413, "too_large", "ask for fewer keys"},
		{"", `keys=a`, "Content-Type: application/x-www-form-urlencoded", 415, "unsupported_media_type", "application/json"},
		{"?keys=a", `{"keys":["a"]}`, json, 400, "bad_request", `unknown parameter \"keys\"`},
		{"?consistency=strong", `{"keys":["a"]}`, json, 400, "bad_request", "consistency"},
		{"", `{"keys":["a"]}`, "Dengine-Min-Index: soon", 400, "bad_request", "Dengine-Min-Index"},
		{"", `{"keys":["a"]}`, "Dengine-Min-Index: 1000000", 503, "behind", "not caught up"},
	} {
		a := c.do("POST", c.api(0, "/kv/get"+s.query), s.body, s.header)
		if a.status != s.status || a.code() != s.code || !strings.Contains(a.body, s.says) {
			t.Errorf("%s %.60q: %d %.300s, want %d %s with %q", s.query, s.body, a.status, a.body, s.status, s.code, s.says)
		}
		if a.header.Get("Dengine-Outcome") != "not-applied" || a.header.Get("Dengine-Node") != "n1" || a.header.Get("Dengine-Index") == "" {
			t.Errorf("%s %.60q: headers %v", s.query, s.body, a.header)
		}
	}
	keys := slices.Repeat([][]byte{[]byte("a")}, node.MaxReadKeys+1)
	if v, _, err := c.nodes[0].GetMany(t.Context(), keys, node.ReadOptions{}); !errors.Is(err, node.ErrTooLarge) {
		t.Errorf("%d values, %v", len(v), err)
	}
	if v, _, err := c.nodes[0].GetMany(t.Context(), nil, node.ReadOptions{}); !errors.Is(err, node.ErrBadInput) {
		t.Errorf("%d values, %v", len(v), err)
	}
}
