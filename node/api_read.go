package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// serveGet reads a key, for GET and HEAD.
func (n *Node) serveGet(ctx *fasthttp.RequestCtx, key, query []byte) {
	h := &ctx.Request.Header
	o, err := readOptions(h, query)
	if err != nil {
		n.refuseInput(ctx, err)
		return
	}
	v, err := n.Get(context.Background(), key, o)
	if err != nil {
		n.failed(ctx, err, false)
		return
	}
	if !v.Found {
		n.missing(ctx, v.Index)
		return
	}
	n.stampIndex(ctx, v.Index)
	stampTag(ctx, v.ETag, v.Writes)
	if inm := h.Peek(fasthttp.HeaderIfNoneMatch); len(inm) > 0 && matchesAny(inm, v.ETag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	if wantsBytes(h.Peek(fasthttp.HeaderAccept)) {
		ctx.SetContentType(binaryType)
		ctx.Response.SetBodyRaw(v.Value)
		return
	}
	ctx.SetContentType(jsonType)
	body := ctx.Response.SwapBody(nil) // the response's own, so that none is allocated
	ctx.Response.SwapBody(appendValueJSON(body[:0], v.Value))
}

// missing answers a read that found no key in the state of an index.
func (n *Node) missing(ctx *fasthttp.RequestCtx, index uint64) {
	n.refuse(ctx, &edge.Problem{
		Status: fasthttp.StatusNotFound, Code: "key_not_found",
		Message: "there is no such key; PUT or POST creates it",
	})
	n.stampIndex(ctx, index)
}

// matchesAny compares weakly (RFC 9110, 13.1.2). A header that is not a list of
// tags matches nothing: a read is then simply answered.
func matchesAny(ifNoneMatch []byte, tag ETag) bool {
	if string(ifNoneMatch) == "*" {
		return true
	}
	tags, err := parseTags(string(bytes.ReplaceAll(ifNoneMatch, []byte("W/"), nil)))
	return err == nil && slices.Contains(tags, tag)
}

// wantsBytes says whether Accept asks for raw bytes by name.
func wantsBytes(accept []byte) bool {
	for part := range bytes.SplitSeq(accept, []byte(",")) {
		mediaType, _, _ := bytes.Cut(part, []byte(";"))
		if bytes.EqualFold(bytes.TrimSpace(mediaType), []byte(binaryType)) {
			return true
		}
	}
	return false
}

// appendValueJSON appends {"value":"…"}, or {"value_base64":"…"} where the value
// is not UTF-8.
func appendValueJSON(b, value []byte) []byte {
	b = slices.Grow(b, len(value)+len(`{"value":""}`))
	b = append(b, '{')
	b = appendField(b, "value", value)
	return append(b, '}')
}
