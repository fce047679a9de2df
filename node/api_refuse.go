package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

func methodNotAllowed(allow string) *edge.Problem {
	return &edge.Problem{
		Status: fasthttp.StatusMethodNotAllowed, Code: "method_not_allowed", Allow: allow,
		Message: "this path takes " + allow,
	}
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
