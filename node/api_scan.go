package node

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"
)

// serveKeys is /kv itself: POST writes a key, GET and HEAD read a page of keys.
func (n *Node) serveKeys(ctx *fasthttp.RequestCtx, query []byte) {
	switch {
	case ctx.IsPost():
		n.servePost(ctx)
	case ctx.IsGet(), ctx.IsHead():
		n.serveScan(ctx, query)
	default:
		n.refuse(ctx, methodNotAllowed("GET, HEAD, POST"))
	}
}

func (n *Node) serveScan(ctx *fasthttp.RequestCtx, query []byte) {
	r, minIndex, err := parseScan(query)
	var o ReadOptions
	if err == nil {
		o, err = readOptions(&ctx.Request.Header, query)
	}
	var p Page
	if err == nil {
		o.MinIndex = max(o.MinIndex, minIndex)
		p, err = n.Scan(context.Background(), r, o)
	}
	if err != nil {
		n.failed(ctx, err, false)
		return
	}
	n.stampIndex(ctx, p.Index)
	ctx.SetContentType(jsonType)
	ctx.Response.SetBodyRaw(appendPage(nil, r.Prefix, &p))
}

// parseScan reads the query of a scan. With a cursor the page may not be of a state
// before minIndex, and a prefix that is not given is the cursor's.
func parseScan(query []byte) (r Range, minIndex uint64, err error) {
	q, err := parameters(query, "prefix", "start", "limit", "cursor", argConsistency, argMaxStaleness)
	if err != nil {
		return r, 0, err
	}
	r.Prefix, r.Start = q["prefix"], q["start"]
	if arg, given := q["limit"]; given {
		if r.Limit, err = parseLimit(arg); err != nil {
			return r, 0, err
		}
	}
	if len(q["cursor"]) == 0 {
		return r, 0, nil
	}
	c, err := parseCursor(q["cursor"])
	if err != nil {
		return r, 0, err
	}
	if _, given := q["prefix"]; !given {
		r.Prefix = c.prefix
	}
	if err := r.check(); err != nil {
		return r, 0, err
	}
	return r, c.index, c.resume(&r)
}

func parseLimit(arg []byte) (int, error) {
	limit, err := strconv.ParseUint(string(arg), 10, 31)
	if err != nil || limit == 0 || limit > MaxReadKeys {
		return 0, fmt.Errorf("limit: %w: %q: want a number from 1 to %d", ErrBadInput, arg, MaxReadKeys)
	}
	return int(limit), nil
}

// appendPage appends {"items":[…],"cursor":"…"}, the cursor only where there is
// more.
func appendPage(b, prefix []byte, p *Page) []byte {
	size := cursorText.EncodedLen(len(p.Next)) + (1+len(p.Items))*itemOverhead
	for i := range p.Items {
		size += len(p.Items[i].Key) + len(p.Items[i].Value)
	}
	b = slices.Grow(b, size)
	b = append(b, `{"items":[`...)
	var key []byte
	for i := range p.Items {
		it := &p.Items[i]
		if i > 0 {
			b = append(b, ',')
		}
		key = append(key[:0], it.Key...)
		b = appendField(append(b, '{'), "key", key)
		b = append(b, ',')
		b = appendStored(b, it.Value, it.ETag, it.Writes)
		b = append(b, '}')
	}
	b = append(b, ']')
	if p.Next != nil {
		c := cursor{index: p.Index, prefix: prefix, next: p.Next}
		b = append(b, `,"cursor":"`...)
		b = append(c.append(b), '"')
	}
	return append(b, '}')
}

// itemOverhead is about what an item takes in JSON beside its key and value. It
// only saves growing the answer.
const itemOverhead = 80

// appendStored appends the fields of a value: "value":"…","etag":"…","writes":1.
func appendStored(b, value []byte, tag ETag, writes uint64) []byte {
	b = appendField(b, "value", value)
	b = append(b, `,"etag":`...)
	var buf [24]byte
	b = appendJSONString(b, tag.append(buf[:0]))
	b = append(b, `,"writes":`...)
	return strconv.AppendUint(b, writes, 10)
}
