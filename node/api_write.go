package node

import (
	"bytes"
	"context"

	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// servePost stores the key and the value that the JSON body names.
func (n *Node) servePost(ctx *fasthttp.RequestCtx) {
	if p := notJSON(ctx, "POST /kv takes application/json; PUT /kv/{key} takes raw bytes"); p != nil {
		n.refuse(ctx, p)
		return
	}
	body, err := decodeBody(ctx.PostBody(), "key", "value", "value_base64")
	if err == nil {
		err = body.needKey()
	}
	var value []byte
	if err == nil {
		value, err = body.valueBytes()
	}
	if err != nil {
		n.refuseInput(ctx, err)
		return
	}
	n.serveWrite(ctx, Write{Key: []byte(*body.key), Value: value})
}

// servePut stores the body, or the value in it where it is JSON.
func (n *Node) servePut(ctx *fasthttp.RequestCtx, key []byte) {
	value := ctx.PostBody()
	if isJSON(ctx.Request.Header.ContentType()) {
		body, err := decodeBody(value, "value", "value_base64")
		if err == nil {
			value, err = body.valueBytes()
		}
		if err != nil {
			n.refuseInput(ctx, err)
			return
		}
	}
	n.serveWrite(ctx, Write{Key: key, Value: value})
}

// serveWrite runs a write under the request's condition and identity and answers
// it. The write does not end with the client's connection: it is decided in any
// case.
func (n *Node) serveWrite(ctx *fasthttp.RequestCtx, w Write) {
	h := &ctx.Request.Header
	var err error
	if w.Cond, err = parseConditions(h.PeekAll(fasthttp.HeaderIfMatch), h.PeekAll(fasthttp.HeaderIfNoneMatch)); err != nil {
		n.refuse(ctx, &edge.Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Message: err.Error()})
		return
	}
	if w.Identity, err = parseIdentity(h); err != nil {
		n.refuseInput(ctx, err)
		return
	}
	res, err := n.Do(context.Background(), w)
	n.answerWrite(ctx, &w.Identity, res, err)
}

// answerWrite answers a write that came to its end.
func (n *Node) answerWrite(ctx *fasthttp.RequestCtx, id *Identity, res Result, err error) {
	switch {
	case err != nil:
		n.failed(ctx, err, true)
	case res.Failed:
		msg := "the condition does not hold: the key is not there"
		if res.Found {
			msg = "the condition does not hold for the current value, whose ETag is in the answer"
		}
		n.refuse(ctx, &edge.Problem{Status: fasthttp.StatusPreconditionFailed, Code: "precondition_failed", Message: msg})
	default:
		ctx.SetContentType(jsonType)
		ctx.SetBodyString("{}")
	}
	if res.Index != 0 { // the state machine has seen it
		n.stampIndex(ctx, res.Index)
	}
	stampTag(ctx, res.ETag, res.Writes)
	stampIdentity(ctx, id, &res, err)
}

func (n *Node) serveDelete(ctx *fasthttp.RequestCtx, key []byte) {
	n.serveWrite(ctx, Write{Key: key, Delete: true})
}

// isJSON says whether a Content-Type is application/json, with any parameters.
func isJSON(contentType []byte) bool {
	mediaType, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(mediaType), []byte(jsonType))
}

// notJSON refuses a body whose Content-Type says that it is something else.
func notJSON(ctx *fasthttp.RequestCtx, message string) *edge.Problem {
	contentType := ctx.Request.Header.ContentType()
	if len(contentType) == 0 || isJSON(contentType) {
		return nil
	}
	return &edge.Problem{Status: fasthttp.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: message}
}
