package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/dengine/dengine/internal/once"
)

// page is an answer to GET /kv or POST /kv/get.
type page struct {
	Items []struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Writes uint64 `json:"writes"`
		Found  *bool  `json:"found"` // only /kv/get says it
	} `json:"items"`
	Cursor string `json:"cursor"`
}

// scan reads all keys that begin with o.Key, limit of them a page, and notes them;
// false where one page could not be read. Of workload promises they promise the most.
func (c *client) scan(at *place, o Op, limit int) (Op, bool) {
	path := fmt.Sprintf("/kv%s&limit=%d", c.l.promise.strong(), limit)
	return c.pages(at, o, http.MethodGet, func(cursor string) string {
		if cursor != "" {
			return path + "&cursor=" + url.QueryEscape(cursor)
		}
		return path + "&prefix=" + url.QueryEscape(o.Key)
	})
}

// getMany reads keys in one request, and notes those that are there.
func (c *client) getMany(at *place, o Op, keys []string) (Op, bool) {
	body, err := json.Marshal(map[string][]string{"keys": keys})
	if err != nil { // strings always marshal
		panic(err)
	}
	o.Value = string(body)
	return c.pages(at, o, http.MethodPost, func(string) string { return "/kv/get" + c.l.promise.strong() })
}

// pages asks for one page after the other and notes them as one operation.
func (c *client) pages(at *place, o Op, method string, path func(cursor string) string) (Op, bool) {
	call := c.l.since()
	o.Kind, o.Result = Scan, OK
	for cursor := ""; ; {
		a, err := c.ask(&o, at, method, path(cursor))
		var p page
		if err == nil && a.OK() {
			p, err = readPage(a)
		}
		if err != nil || !a.OK() {
			c.l.fail(o, a, err)
			return o, false
		}
		o.Pages = append(o.Pages, p.found())
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	o.Call, o.Value = call, "" // it was the request's
	c.l.note(o)
	return o, true
}

func readPage(a once.Answer) (p page, err error) {
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return p, fmt.Errorf("read a page: %w", err)
	}
	return p, nil
}

// found are the items of the keys that are there.
func (p page) found() []Item {
	out := []Item{}
	for _, it := range p.Items {
		if it.Found == nil || *it.Found {
			out = append(out, Item{it.Key, it.Value, it.Writes})
		}
	}
	return out
}

// items are those of all pages of a scan.
func (o Op) items() []Item {
	var out []Item
	for _, p := range o.Pages {
		out = append(out, p...)
	}
	return out
}
