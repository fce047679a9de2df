package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/valyala/fasthttp"
)

// newSession is HeaderSession's value that asks for a new one.
const newSession = "new"

// serveSession opens, renews and closes sessions: POST, PUT and DELETE. The id
// stands in a header, and so in no access log.
func (n *Node) serveSession(ctx *fasthttp.RequestCtx) {
	h := &ctx.Request.Header
	value, err := single(h, HeaderSession)
	if err != nil {
		n.refuseInput(ctx, err)
		return
	}
	switch string(ctx.Method()) {
	case fasthttp.MethodPost:
		n.serveOpen(ctx, value)
	case fasthttp.MethodPut:
		n.serveRenew(ctx, value)
	case fasthttp.MethodDelete:
		n.serveClose(ctx, value)
	default:
		n.refuse(ctx, methodNotAllowed("POST, PUT, DELETE"))
	}
}

func (n *Node) serveOpen(ctx *fasthttp.RequestCtx, value []byte) {
	if string(value) != newSession {
		n.refuseInput(ctx, fmt.Errorf("%s: %w: want %s; the node makes up the session's id", HeaderSession, ErrBadInput, newSession))
		return
	}
	s, err := n.OpenSession(context.Background())
	if err != nil {
		n.failed(ctx, err, true)
		return
	}
	body, err := json.Marshal(struct {
		Session   string `json:"session"`
		Window    uint64 `json:"window"`
		TimeoutMS int64  `json:"timeout_ms"`
	}{hex.EncodeToString(s.ID[:]), s.Window, s.Timeout.Milliseconds()})
	if err != nil { // plain fields always marshal
		panic(err)
	}
	n.answerSession(ctx, body)
}

func (n *Node) serveRenew(ctx *fasthttp.RequestCtx, value []byte) {
	var acked uint64
	header, err := single(&ctx.Request.Header, HeaderAcked)
	if err == nil {
		acked, err = parseAcked(header)
	}
	n.sessionCommand(ctx, value, err, func(id SessionID) error { return n.RenewSession(context.Background(), id, acked) })
}

func (n *Node) serveClose(ctx *fasthttp.RequestCtx, value []byte) {
	n.sessionCommand(ctx, value, nil, func(id SessionID) error { return n.CloseSession(context.Background(), id) })
}

// sessionCommand runs a command of the session that a header names, unless bad
// says that another header is wrong.
func (n *Node) sessionCommand(ctx *fasthttp.RequestCtx, value []byte, bad error, run func(SessionID) error) {
	id, err := parseSession(value)
	if bad != nil {
		err = bad
	}
	if err != nil {
		n.refuseInput(ctx, err)
		return
	}
	if err := run(id); err != nil {
		n.failed(ctx, err, true)
		return
	}
	n.answerSession(ctx, []byte("{}"))
}

func (n *Node) answerSession(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.SetContentType(jsonType)
	ctx.SetBody(body)
	n.stampIndex(ctx, n.appliedIndex())
}
