package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
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

func methodNotAllowed(allow string) *edge.Problem {
	return &edge.Problem{
		Status: fasthttp.StatusMethodNotAllowed, Code: "method_not_allowed", Allow: allow,
		Message: "this path takes " + allow,
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

// refuse answers a request that has changed nothing.
func (n *Node) refuse(ctx *fasthttp.RequestCtx, p *edge.Problem) {
	p.Write(ctx)
	n.stampIndex(ctx, n.appliedIndex())
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set(HeaderOutcome, OutcomeNotApplied)
	}
}

func (n *Node) refuseInput(ctx *fasthttp.RequestCtx, err error) {
	n.refuse(ctx, inputProblem(err))
}

// inputProblem is the client's own mistake: 413 where it is one of size.
func inputProblem(err error) *edge.Problem {
	if errors.Is(err, ErrTooLarge) {
		return &edge.Problem{Status: fasthttp.StatusRequestEntityTooLarge, Code: "too_large", Message: err.Error()}
	}
	return &edge.Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Message: err.Error()}
}

// failed answers a request that could not be served now; write says whether it was
// one, and then the answer says what became of it.
func (n *Node) failed(ctx *fasthttp.RequestCtx, err error, write bool) {
	var p *edge.Problem
	switch {
	case errors.Is(err, ErrBadInput), errors.Is(err, ErrTooLarge):
		p = inputProblem(err)
	case statusProblem(err) != nil:
		p = statusProblem(err)
		p.Message = n.where(p.Message, err)
	case errors.Is(err, ErrTooStale):
		p = unavailable("too_stale", n.where("this node's state may be older than max_staleness: try another node, or a longer one", err))
	case errors.Is(err, ErrWeakerRead):
		p = &edge.Problem{
			Status: fasthttp.StatusForbidden, Code: "consistency_forbidden",
			Message: n.where("leave consistency out, or ask for a stronger one", err),
		}
	case errors.Is(err, ErrUnknown):
		p = &edge.Problem{
			Status: fasthttp.StatusGatewayTimeout, Code: "outcome_unknown",
			Message: n.where("the write may or may not have happened: read the key before writing again", err),
		}
	case errors.Is(err, ErrNotLeader):
		n.refuseNotLeader(ctx)
		return
	case errors.Is(err, ErrNoLeader):
		p = unavailable("no_leader", n.where("no leader is known at the moment: try again shortly", err))
	case errors.Is(err, ErrOverloaded):
		p = unavailable("overloaded", n.where("too many writes are waiting: slow down and try again", err))
	case errors.Is(err, ErrClosed) && write:
		n.refuseWithLeader(ctx, "shutting_down", n.where("this node is shutting down: use another one", err), n.Report().Leader)
		return
	case errors.Is(err, ErrClosed):
		p = unavailable("shutting_down", n.where("this node is shutting down: use another one", err))
	case errors.Is(err, ErrStarting):
		p = unavailable("starting", n.where("this node does not serve yet", errors.New(n.phaseText())))
	case errors.Is(err, ErrBehind):
		p = unavailable("behind", n.where("this node has not caught up to the wanted index: try again, or another node", err))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p = unavailable("timeout", n.where("it was not decided in time and will not be: try again", err))
	default:
		p = &edge.Problem{Status: fasthttp.StatusInternalServerError, Code: "internal", Message: n.where("the node met an error", err)}
	}
	p.Write(ctx)
	n.stampIndex(ctx, n.appliedIndex())
	if write {
		outcome := OutcomeNotApplied
		if !errors.Is(err, ErrNotApplied) {
			outcome = OutcomeUnknown
		}
		ctx.Response.Header.Set(HeaderOutcome, outcome)
	}
	if p.Status == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
}

func unavailable(code, msg string) *edge.Problem {
	return &edge.Problem{Status: fasthttp.StatusServiceUnavailable, Code: code, Message: msg}
}

// where adds the node, its term and the cause to a message.
func (n *Node) where(msg string, cause error) string {
	term := uint64(0)
	if c := n.core.Load(); c != nil {
		term = c.raft.CurrentTerm()
	}
	return fmt.Sprintf("%s (node %s, term %d: %v)", msg, n.cfg.ID, term, cause)
}

// refuseNotLeader tells a writer who leads.
func (n *Node) refuseNotLeader(ctx *fasthttp.RequestCtx) {
	leader := n.Report().Leader
	if leader.ID == "" || leader.ID == n.cfg.ID { // it has just changed
		n.failed(ctx, notApplied(ErrNoLeader), true)
		return
	}
	n.refuseWithLeader(ctx, "not_leader", n.where("send writes to the leader", fmt.Errorf("the leader is %s at %s", leader.ID, leader.HTTP)), leader)
}

// refuseWithLeader answers a write that was not applied, and names the leader if
// that is known and another node.
func (n *Node) refuseWithLeader(ctx *fasthttp.RequestCtx, code, msg string, leader healthcheck.Leader) {
	if leader.ID == n.cfg.ID {
		leader = healthcheck.Leader{}
	}
	body, err := json.Marshal(struct {
		Error   string             `json:"error"`
		Message string             `json:"message"`
		Leader  healthcheck.Leader `json:"leader,omitzero"`
	}{code, msg, leader})
	if err != nil { // plain strings always marshal
		panic(err)
	}
	ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	ctx.SetContentType(jsonType)
	ctx.SetBody(body)
	if leader.ID == "" {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	ctx.Response.Header.Set(HeaderOutcome, OutcomeNotApplied)
	n.stampIndex(ctx, n.appliedIndex())
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
