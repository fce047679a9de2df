package node_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

func TestWriteReadDelete(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, steady)
	l := c.leader()
	const json = "Content-Type: application/json"
	w := c.do("POST", c.api(l, "/kv"), `{"key":"username","value":"alice"}`, json)
	if w.status != 200 || w.body != "{}" || w.header.Get("Dengine-Index") == "" || w.header.Get("ETag") == "" {
		t.Fatalf("POST: %+v", w)
	}
	for i := range c.nodes {
		r := c.do("GET", c.api(i, "/kv/username"), "", "Dengine-Min-Index: "+w.header.Get("Dengine-Index"))
		if r.status != 200 || r.body != `{"value":"alice"}` || r.header.Get("ETag") != w.header.Get("ETag") {
			t.Errorf("GET at %s: %+v", c.configs[i].ID, r)
		}
		if r.header.Get("Dengine-Node") != c.configs[i].ID {
			t.Errorf("Dengine-Node is %q", r.header.Get("Dengine-Node"))
		}
		h := c.do("HEAD", c.api(i, "/kv/username"), "")
		if h.status != 200 || h.body != "" || h.header.Get("Content-Length") != "17" {
			t.Errorf("HEAD at %s: %+v", c.configs[i].ID, h)
		}
	}
	d := c.do("DELETE", c.api(l, "/kv/username"), "")
	if d.status != 200 || d.body != "{}" {
		t.Fatalf("DELETE: %+v", d)
	}
	for i := range c.nodes {
		r := c.do("GET", c.api(i, "/kv/username"), "", "Dengine-Min-Index: "+d.header.Get("Dengine-Index"))
		if r.status != 404 || r.code() != "key_not_found" {
			t.Errorf("GET after DELETE at %s: %+v", c.configs[i].ID, r)
		}
	}
	if d := c.do("DELETE", c.api(l, "/kv/username"), ""); d.status != 200 {
		t.Errorf("DELETE of what is not there: %+v", d)
	}
	f := c.others(l)[0]
	r := c.do("PUT", c.api(f, "/kv/a"), "x")
	if r.status != 503 || r.code() != "not_leader" || r.header.Get("Dengine-Outcome") != "not-applied" ||
		!strings.Contains(r.body, fmt.Sprintf(`"leader":{"id":%q,"http":%q}`, c.configs[l].ID, c.configs[l].HTTPListen)) {
		t.Errorf("PUT at a follower: %+v", r)
	}
}

func TestValuesAndKeys(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	const json = "Content-Type: application/json"
	for i, v := range []struct{ value, shows string }{
		{"", `{"value":""}`},
		{"plain", `{"value":"plain"}`},
		{"q\"b\\n\nt\t\r\x01é<>&", `{"value":"q\"b\\n\nt\t\r\u0001é<>&"}`},
		{"\xff\x00", `{"value_base64":"/wA="}`},
	} {
		url := c.api(0, fmt.Sprint("/kv/v", i))
		if w := c.do("PUT", url, v.value, "Content-Type: text/plain"); w.status != 200 {
			t.Fatalf("PUT %q: %+v", v.value, w)
		}
		if r := c.do("GET", url, ""); r.body != v.shows {
			t.Errorf("GET %q: %s, want %s", v.value, r.body, v.shows)
		}
		raw := c.do("GET", url, "", "Accept: text/plain;q=0.5, application/octet-stream")
		if raw.body != v.value || raw.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("raw GET %q: %+v", v.value, raw)
		}
	}
	for _, w := range []answer{
		c.do("PUT", c.api(0, "/kv/j"), `{"value":"in \u00e9"}`, json+"; charset=utf-8"),
		c.do("POST", c.api(0, "/kv"), `{"key":"b","value_base64":"/wA="}`, json),
	} {
		if w.status != 200 {
			t.Errorf("%+v", w)
		}
	}
	for path, want := range map[string]string{"/kv/j": `{"value":"in é"}`, "/kv/b": `{"value_base64":"/wA="}`} {
		if r := c.do("GET", c.api(0, path), ""); r.body != want {
			t.Errorf("%s: %s, want %s", path, r.body, want)
		}
	}
	// A key is bytes: slashes, dots, plus signs and percent-encodings count.
	for path, key := range map[string]string{
		"/kv/a/b//c": "a/b//c", "/kv/../x": "../x", "/kv/a%2Fb": "a/b", "/kv/p+q": "p+q",
		"/kv/a://b/kv/c": "a://b/kv/c", "/kv/http://example.com/x": "http://example.com/x",
		"/kv/sp%20ace": "sp ace", "/kv/nul%00": "nul\x00", "/kv/%e2%82%ac": "€",
	} {
		if w := c.do("PUT", "http://"+c.configs[0].HTTPListen+path, key); w.status != 200 {
			t.Errorf("PUT %s: %+v", path, w)
		}
		v, err := c.nodes[0].Get(t.Context(), []byte(key), node.ReadOptions{})
		if err != nil || !v.Found || string(v.Value) != key {
			t.Errorf("key %q from %s: %+v, %v", key, path, v, err)
		}
	}
}

func TestConditionsOverHTTP(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	url := c.api(0, "/kv/c")
	tag := ""
	for i, s := range []struct {
		method, header string // "TAG" stands for the last ETag seen
		status         int
	}{
		{"PUT", "If-Match: *", 412},
		{"PUT", `If-Match: "zz"`, 412},
		{"PUT", "If-None-Match: *", 200},
		{"PUT", "If-None-Match: *", 412},
		{"PUT", "If-Match: TAG", 200},
		{"PUT", `If-Match: "zz", TAG`, 200},
		{"PUT", "If-Match: W/TAG", 412}, // strong comparison
		{"DELETE", `If-Match: "zz"`, 412},
		{"PUT", "If-None-Match: TAG", 412},
		{"GET", "If-None-Match: TAG", 304},
		{"GET", "If-None-Match: W/TAG", 304},
		{"GET", `If-None-Match: "zz"`, 200},
		{"DELETE", "If-Match: TAG", 200},
		{"DELETE", "If-Match: *", 412},
		{"PUT", "If-Match: unquoted", 400},
		{"PUT", `If-Match: "open`, 400},
		{"PUT", `If-Match: "a" "b"`, 400},
		{"PUT", "If-Match: " + strings.Repeat(`"a",`, 33) + `"a"`, 400},
	} {
		a := c.do(s.method, url, "v", strings.ReplaceAll(s.header, "TAG", tag))
		if a.status != s.status {
			t.Errorf("step %d, %s with %s: %+v, want %d", i, s.method, s.header, a, s.status)
		}
		if a.status == 412 && a.header.Get("ETag") != tag && tag != "" && s.method != "DELETE" {
			t.Errorf("step %d: 412 with ETag %s, the current one is %s", i, a.header.Get("ETag"), tag)
		}
		if a.status == 200 {
			tag = a.header.Get("ETag")
		}
	}
	// Several lines of a header are one list.
	for _, s := range []struct {
		first, second string
		status        int
	}{
		{`If-None-Match: "zz"`, "If-None-Match: TAG", 412},
		{`If-Match: "zz"`, "If-Match: TAG", 200},
		{"If-Match: TAG", "If-None-Match: *", 400},
	} {
		tag = c.do("PUT", url, "v").header.Get("ETag")
		if a := c.do("PUT", url, "v", s.first, strings.ReplaceAll(s.second, "TAG", tag)); a.status != s.status {
			t.Errorf("%s and %s: %+v, want %d", s.first, s.second, a, s.status)
		}
	}
	// Commands that share a log entry have ETags of their own.
	seen := make(chan string, 64)
	for i := range cap(seen) {
		go func() { seen <- c.do("PUT", c.api(0, fmt.Sprint("/kv/e", i)), "v").header.Get("ETag") }()
	}
	tags := make(map[string]bool)
	for range cap(seen) {
		tags[<-seen] = true
	}
	if len(tags) != cap(seen) {
		t.Errorf("%d writes have %d ETags", cap(seen), len(tags))
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.MaxValueBytes = 100 })
	const json, raw = "Content-Type: application/json", "Content-Type: application/octet-stream"
	long := strings.Repeat("k", node.MaxKeyBytes+1)
	for _, s := range []struct {
		method, path, body, header string
		status                     int
		code, says                 string
	}{
		{"POST", "/kv", `{"key":"a","value":`, json, 400, "bad_request", "ends too early"},
		{"POST", "/kv", ``, json, 400, "bad_request", "JSON object"},
		{"POST", "/kv", `[]`, json, 400, "bad_request", "JSON object"},
		{"POST", "/kv", `{"key":"a","value":"b",}`, json, 400, "bad_request", "not JSON"},
		{"POST", "/kv", `{"key":"a","value":"b"} x`, json, 400, "bad_request", "data after"},
		{"POST", "/kv", `{"key":"a","value":"b","ttl":"1"}`, json, 400, "bad_request", `unknown field \"ttl\"`},
		{"POST", "/kv", `{"Key":"a","value":"b"}`, json, 400, "bad_request", `unknown field \"Key\"`},
		{"POST", "/kv", `{"key":"a","key":"b","value":"c"}`, json, 400, "bad_request", "key: bad input: given twice"},
		{"POST", "/kv", `{"key":1,"value":"b"}`, json, 400, "bad_request", "key: bad input: must be a string"},
		{"POST", "/kv", `{"key":"a","value":null}`, json, 400, "bad_request", "value: bad input: must be a string"},
		{"POST", "/kv", `{"key":"a","value":{}}`, json, 400, "bad_request", "value: bad input: must be a string"},
		{"POST", "/kv", `{"value":"b"}`, json, 400, "bad_request", "key: bad input: it is missing"},
		{"POST", "/kv", `{"key":"","value":"b"}`, json, 400, "bad_request", "key: bad input: it is empty"},
		{"POST", "/kv", `{"key":"a"}`, json, 400, "bad_request", "value: bad input: it is missing"},
		{"POST", "/kv", `{"key":"a","value":"b","value_base64":"YQ=="}`, json, 400, "bad_request", "send one of them"},
		{"POST", "/kv", `{"key":"a","value_base64":"%"}`, json, 400, "bad_request", "not base64"},
		{"POST", "/kv", "{\"key\":\"a\",\"value\":\"\xff\"}", json, 400, "bad_request", "UTF-8"},
		{"POST", "/kv", `{"key":"a","value":"\ud800"}`, json, 400, "bad_request", "surrogate"},
		{"PUT", "/kv/a", "v", "If-Match: ", 400, "bad_request", "If-Match"},
		{"POST", "/kv", `key=a&value=b`, "Content-Type: application/x-www-form-urlencoded", 415, "unsupported_media_type", "application/json"},
		{"POST", "/kv", `{"key":"` + long + `","value":"b"}`, json, 413, "too_large", "4097 bytes, at most 4096"},
		{"POST", "/kv", `{"key":"a","value":"` + strings.Repeat("v", 101) + `"}`, json, 413, "too_large", "101 bytes, at most 100"},
		{"PUT", "/kv/a", strings.Repeat("v", 101), raw, 413, "too_large", "101 bytes, at most 100"},
		{"PUT", "/kv/" + long, "v", raw, 413, "too_large", "4097 bytes"},
		{"GET", "/kv/" + long, "", raw, 413, "too_large", "4097 bytes"},
		{"PUT", "/kv/", "v", raw, 400, "bad_request", "key: bad input: it is empty"},
		{"PUT", "/kv/a", `{"value":1}`, json, 400, "bad_request", "must be a string"},
		{"PUT", "/kv/a", `{"key":"b","value":"1"}`, json, 400, "bad_request", `unknown field \"key\"`},
		{"PATCH", "/kv/a", "v", raw, 405, "method_not_allowed", "GET, HEAD, PUT, DELETE"},
		{"PUT", "/kv", "v", raw, 405, "method_not_allowed", "POST"},
		{"GET", "/", "", raw, 404, "not_found", "/kv/{key}"},
		{"POST", "/kvs", "", raw, 404, "not_found", "/kv/{key}"},
		{"GET", "/kv/a", "", "Dengine-Min-Index: soon", 400, "bad_request", "Dengine-Min-Index"},
		{"GET", "/kv/a?consistency=strong", "", raw, 400, "bad_request", "consistency"},
	} {
		a := c.do(s.method, c.api(0, s.path), s.body, s.header)
		if a.status != s.status || a.code() != s.code || !strings.Contains(a.body, s.says) {
			t.Errorf("%s %.20s %.60q: %+v, want %d %s with %q", s.method, s.path, s.body, a, s.status, s.code, s.says)
		}
		if s.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", s.method, s.path)
		}
		if s.method != "GET" && a.header.Get("Dengine-Outcome") != "not-applied" {
			t.Errorf("%s %s: outcome %q", s.method, s.path, a.header.Get("Dengine-Outcome"))
		}
		if a.header.Get("Dengine-Node") != "n1" || a.header.Get("Dengine-Index") == "" {
			t.Errorf("%s %s: headers %v", s.method, s.path, a.header)
		}
	}
	for _, path := range []string{"/kv/a%", "/kv/a%2", "/kv/a%zz"} {
		resp, err := http.DefaultClient.Do(&http.Request{Method: "GET", URL: opaque(c.configs[0].HTTPListen, path)})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	// The largest that fits does fit.
	exact := strings.Repeat("k", node.MaxKeyBytes)
	if a := c.do("POST", c.api(0, "/kv"), `{"key":"`+exact+`","value":"`+strings.Repeat(`\u0001`, 100)+`"}`, json); a.status != 200 {
		t.Errorf("the largest key and value: %+v", a)
	}
	if a := c.do("GET", c.api(0, "/kv/"+exact), ""); a.status != 200 {
		t.Errorf("the largest key is not found: %+v", a)
	}
}

func TestMinIndex(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadTimeout = 2 * time.Second })
	w := c.do("PUT", c.api(0, "/kv/a"), "v")
	ahead := c.do("GET", c.api(0, "/kv/a"), "", "Dengine-Min-Index: 1000000")
	if ahead.status != 503 || ahead.code() != "behind" {
		t.Errorf("an index that is far ahead: %+v", ahead)
	}
	if r := c.do("GET", c.api(0, "/kv/a"), "", "Dengine-Min-Index: "+w.header.Get("Dengine-Index")); r.status != 200 {
		t.Errorf("%+v", r)
	}
}
