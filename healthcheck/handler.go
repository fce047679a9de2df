package healthcheck

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Longest wait that /role grants, and how many requests may wait at once; more
// are answered at once, as if their wait had ended.
const (
	MaxWait    = 60 * time.Second
	maxWaiters = 1024
)

// Source is what a node must tell for its health port.
type Source interface {
	// Report returns the state as of now; it is called for every request.
	Report() Report
	// Changed returns a channel that is closed once the epoch is not, or no
	// longer is, the given one.
	Changed(epoch string) <-chan struct{}
}

// Handler serves the health port of one node. The zero value is not usable;
// set Source, and Extra for paths beside the contract's own ("/status").
type Handler struct {
	Source Source
	Extra  map[string]fasthttp.RequestHandler
	// Done, when closed, ends all waits: a server that shuts down must not
	// be held open by long polls.
	Done <-chan struct{}

	waiting atomic.Int64
}

// Serve answers one request. Only GET and HEAD are allowed.
func (h *Handler) Serve(ctx *fasthttp.RequestCtx) {
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		h.refuse(ctx, h.Source.Report(), fasthttp.StatusMethodNotAllowed, "method_not_allowed", "the health port answers GET and HEAD only")
		return
	}
	switch path := string(ctx.Path()); path {
	case PathPrimary:
		r := h.Source.Report()
		h.yesNo(ctx, r, r.Primary, "not_primary")
	case PathReplica:
		h.replica(ctx)
	case PathLive:
		h.yesNo(ctx, h.Source.Report(), true, "")
	case PathReady:
		r := h.Source.Report()
		h.yesNo(ctx, r, r.Ready, "not_ready")
	case PathRole:
		h.role(ctx)
	default:
		r := h.Source.Report()
		if extra, ok := h.Extra[path]; ok {
			stamp(ctx, r)
			extra(ctx)
			return
		}
		h.refuse(ctx, r, fasthttp.StatusNotFound, "not_found", "unknown path; the health port has /primary /replica /livez /readyz /role /status /metrics")
	}
}

func (h *Handler) replica(ctx *fasthttp.RequestCtx) {
	r := h.Source.Report()
	maxLag := uint64(DefaultMaxLag)
	if arg := ctx.QueryArgs().Peek("max_lag"); arg != nil {
		n, err := strconv.ParseUint(string(arg), 10, 64)
		if err != nil {
			h.refuse(ctx, r, fasthttp.StatusBadRequest, "bad_request", "max_lag must be a whole number of log entries")
			return
		}
		maxLag = n
	}
	h.yesNo(ctx, r, r.ReplicaWithin(maxLag), "not_replica")
}

func (h *Handler) role(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	if arg := args.Peek("wait"); arg != nil {
		wait, err := time.ParseDuration(string(arg))
		if err != nil || wait < 0 {
			h.refuse(ctx, h.Source.Report(), fasthttp.StatusBadRequest, "bad_request", "wait must be a duration such as 30s")
			return
		}
		h.await(string(args.Peek("epoch")), min(wait, MaxWait))
	}
	r := h.Source.Report()
	stamp(ctx, r)
	writeJSON(ctx, fasthttp.StatusOK, r)
}

// await returns when the epoch is not the given one, the wait is over, or the
// server ends.
func (h *Handler) await(epoch string, wait time.Duration) {
	if h.waiting.Add(1) > maxWaiters {
		h.waiting.Add(-1)
		return
	}
	defer h.waiting.Add(-1)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-h.Source.Changed(epoch):
	case <-t.C:
	case <-h.Done:
	}
}

func (h *Handler) yesNo(ctx *fasthttp.RequestCtx, r Report, yes bool, code string) {
	if !yes {
		msg := fmt.Sprintf("node %s is %s in term %d", r.ID, r.Role, r.Term)
		if r.Reason != "" {
			msg += ": " + r.Reason
		}
		h.refuse(ctx, r, fasthttp.StatusServiceUnavailable, code, msg)
		return
	}
	stamp(ctx, r)
	writeJSON(ctx, fasthttp.StatusOK, struct {
		ID   string `json:"id"`
		Role Role   `json:"role"`
		Term uint64 `json:"term"`
	}{r.ID, r.Role, r.Term})
}

func (h *Handler) refuse(ctx *fasthttp.RequestCtx, r Report, status int, code, msg string) {
	stamp(ctx, r)
	writeJSON(ctx, status, struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{code, msg})
}

func stamp(ctx *fasthttp.RequestCtx, r Report) {
	ctx.Response.Header.Set(HeaderNode, r.ID)
	ctx.Response.Header.Set(HeaderTerm, strconv.FormatUint(r.Term, 10))
}

func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a programming error can get here: all values are plain structs
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
