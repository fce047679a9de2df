package node

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// Headers of the HTTP API, beside healthcheck.HeaderNode.
const (
	HeaderIndex    = "Dengine-Index"     // log index: of the write, or of the state that a read saw
	HeaderMinIndex = "Dengine-Min-Index" // request: wait until this index is applied
	HeaderOutcome  = "Dengine-Outcome"   // on errors of writes: OutcomeNotApplied or OutcomeUnknown
	HeaderWrites   = "Dengine-Writes"    // writes to the key since it was created
)

// Headers of the identities of writes. On an answer HeaderSequence says that the
// state machine decided the write of that number: nothing else decides about the
// copies of it that were sent before.
const (
	HeaderSession        = "Dengine-Session"      // request: an open session, 32 hex digits
	HeaderSequence       = "Dengine-Sequence"     // the write's number in it, from 1
	HeaderAcked          = "Dengine-Acked"        // request: up to this number all answers have come
	HeaderIdempotencyKey = "Idempotency-Key"      // request: 1 to 255 visible ASCII characters, bare or quoted
	HeaderReplayed       = "Idempotency-Replayed" // "true": a repeat, not executed; the answer is the first one's
)

// Values of HeaderOutcome.
const (
	OutcomeNotApplied = "not-applied"
	OutcomeUnknown    = "unknown"
)

const (
	pathKV      = "/kv"
	pathKVKey   = "/kv/"
	pathKVGet   = "/kv/get"
	pathSession = "/dengine/session"
	pathBundle  = "/dengine/writes"
	jsonType    = "application/json"
	binaryType  = "application/octet-stream"
)

// apiLimits bounds a request body by the largest value, written the longest way
// that JSON has (\u00XX for each byte), with its key; and by as many of the longest
// keys as one read takes, in base64.
func (c Config) apiLimits() edge.Limits {
	l := c.Limits
	write := 6 * (c.MaxValueBytes + MaxKeyBytes)
	read := MaxReadKeys * (base64.StdEncoding.EncodedLen(MaxKeyBytes) + len(`"",`))
	l.BodyBytes = max(write, read) + 1024
	return l
}

// Serve answers one request of the HTTP API (design section 2), for programs
// that serve it on a port of their own. It expects that package edge, or
// something as strict, has looked at the request.
func (n *Node) Serve(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(healthcheck.HeaderNode, n.cfg.ID)
	path, query, _ := bytes.Cut(ctx.RequestURI(), []byte("?"))
	if p := edge.NoTrailers(&ctx.Request.Header); p != nil {
		n.refuse(ctx, p)
		return
	}
	if path[0] != '/' { // absolute form, http://host/path
		_, rest, _ := bytes.Cut(path, []byte("://"))
		path = rest[max(bytes.IndexByte(rest, '/'), 0):]
	}
	switch {
	case string(path) == pathKV:
		n.serveKeys(ctx, query)
	case string(path) == pathKVGet && ctx.IsPost(): // by any other method it is the key "get"
		n.serveGetMany(ctx, query)
	case bytes.HasPrefix(path, []byte(pathKVKey)):
		n.serveKey(ctx, path[len(pathKVKey):], query)
	case string(path) == pathSession:
		n.serveSession(ctx)
	case string(path) == pathBundle:
		n.serveBundle(ctx)
	default:
		n.refuse(ctx, &edge.Problem{
			Status: fasthttp.StatusNotFound, Code: "not_found",
			Message: "unknown path; keys are at /kv/{key}, and POST /kv takes a key and a value",
		})
	}
}

func (n *Node) serveKey(ctx *fasthttp.RequestCtx, escaped, query []byte) {
	method := string(ctx.Method())
	switch method {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPut, fasthttp.MethodDelete:
	default:
		allow := "GET, HEAD, PUT, DELETE"
		if string(escaped) == pathKVGet[len(pathKVKey):] {
			allow += ", POST"
		}
		n.refuse(ctx, methodNotAllowed(allow))
		return
	}
	key, err := unescape(escaped)
	if err != nil {
		err = fmt.Errorf("key: %w", err)
	} else {
		err = checkKey(key)
	}
	if err != nil {
		n.refuseInput(ctx, err)
		return
	}
	switch method {
	case fasthttp.MethodPut:
		n.servePut(ctx, key)
	case fasthttp.MethodDelete:
		n.serveDelete(ctx, key)
	default:
		n.serveGet(ctx, key, query)
	}
}

// stampEdge adds the API's headers to what package edge answers in its place.
func (n *Node) stampEdge(ctx *fasthttp.RequestCtx, handled bool) {
	ctx.Response.Header.Set(healthcheck.HeaderNode, n.cfg.ID)
	n.stampIndex(ctx, n.appliedIndex())
	if (ctx.IsGet() || ctx.IsHead()) && !edge.Unread(&ctx.Request.Header) {
		return
	}
	outcome := OutcomeNotApplied
	if handled { // it panicked, and nobody knows where
		outcome = OutcomeUnknown
	}
	ctx.Response.Header.Set(HeaderOutcome, outcome)
}

func (n *Node) appliedIndex() uint64 {
	if c := n.core.Load(); c != nil {
		return c.fsm.index.Load()
	}
	return 0
}

func (n *Node) stampIndex(ctx *fasthttp.RequestCtx, index uint64) {
	var buf [20]byte
	ctx.Response.Header.SetBytesV(HeaderIndex, strconv.AppendUint(buf[:0], index, 10))
}

func stampTag(ctx *fasthttp.RequestCtx, tag ETag, writes uint64) {
	if tag == 0 {
		return
	}
	var buf [24]byte
	ctx.Response.Header.SetBytesV(fasthttp.HeaderETag, tag.append(buf[:0]))
	ctx.Response.Header.SetBytesV(HeaderWrites, strconv.AppendUint(buf[:0], writes, 10))
}
