package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dengine/dengine/healthcheck"
	"github.com/valyala/fasthttp"
)

// serveHealth serves the members on the health port, and the role contract (next)
// beside them.
func (n *Node) serveHealth(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		path := string(ctx.Path())
		id, one := strings.CutPrefix(path, healthcheck.PathMembers+"/")
		if path != healthcheck.PathMembers && !one {
			next(ctx)
			return
		}
		n.serveMembers(ctx, id, one)
		r := n.Report() // afterwards: the term of the answer is not older than what was done
		ctx.Response.Header.Set(healthcheck.HeaderNode, r.ID)
		ctx.Response.Header.Set(healthcheck.HeaderTerm, strconv.FormatUint(r.Term, 10))
	}
}

func (n *Node) serveMembers(ctx *fasthttp.RequestCtx, id string, one bool) {
	method := string(ctx.Method())
	var err error
	switch {
	case !one && (method == fasthttp.MethodGet || method == fasthttp.MethodHead):
	case !one && method == fasthttp.MethodPost:
		err = n.addFrom(ctx.PostBody())
	case one && method == fasthttp.MethodDelete:
		err = n.removeFrom(id)
	case one:
		methodNotAllowed("DELETE").Write(ctx)
		return
	default:
		methodNotAllowed("GET, HEAD, POST").Write(ctx)
		return
	}
	if err != nil {
		n.refuseChange(ctx, err)
		return
	}
	writeMembers(ctx, fasthttp.StatusOK, n.Members())
}

// addFrom adds the learner that a body names.
func (n *Node) addFrom(data []byte) error {
	var m Member
	fields := map[string]*string{"id": &m.ID, "raft": &m.Raft, "http": &m.HTTP, "health": &m.Health}
	err := eachField(data, []string{"id", "raft", "http", "health"}, func(o *object, name string) (err error) {
		*fields[name], err = o.text(name)
		return err
	})
	if err != nil {
		return err
	}
	if err := checkID(m.ID); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.WriteTimeout)
	defer cancel()
	return n.AddLearner(ctx, m)
}

func (n *Node) removeFrom(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.WriteTimeout)
	defer cancel()
	return n.RemoveMember(ctx, id)
}

func checkID(id string) error {
	if !name.MatchString(id) {
		return fmt.Errorf("id %q: %w: want 1 to 64 letters, digits, dots, dashes or underscores", id, ErrBadInput)
	}
	return nil
}

// changeProblems are the answers to what a change may be refused for.
var changeProblems = []struct {
	err     error
	status  int
	code    string
	message string
}{
	{ErrBadInput, fasthttp.StatusBadRequest, "bad_request", "the request cannot be understood"},
	{ErrNotMember, fasthttp.StatusNotFound, healthcheck.CodeNotAMember, "there is no such member"},
	{ErrLeads, fasthttp.StatusConflict, "is_leader", "the leader cannot be removed"},
	{ErrLastVoter, fasthttp.StatusConflict, "last_voter", "the last voter cannot be removed"},
	{ErrNoMajority, fasthttp.StatusConflict, "no_majority", "start those that do not run first"},
	{ErrChangeUnderWay, fasthttp.StatusConflict, "change_under_way", "members change one at a time: try again shortly"},
	{ErrIsVoter, fasthttp.StatusConflict, "is_voter", "remove it first, where its data directory was lost"},
	{ErrOtherAddresses, fasthttp.StatusConflict, "other_addresses", "the addresses in the settings of all nodes must be the same"},
	{ErrNotNamed, fasthttp.StatusConflict, "not_named", "nodes find each other by their settings"},
	{ErrNotLeader, fasthttp.StatusServiceUnavailable, "not_leader", "ask the leader"},
	{ErrStarting, fasthttp.StatusServiceUnavailable, "starting", "this node does not take part yet: ask another one"},
	{ErrUnknown, fasthttp.StatusGatewayTimeout, "outcome_unknown", "the members may have changed, or may yet: look at them before trying again"},
}

// refuseChange answers a change that was not made, or of which that is not known.
func (n *Node) refuseChange(ctx *fasthttp.RequestCtx, err error) {
	out := healthcheck.MembersError{Status: fasthttp.StatusInternalServerError, Code: "internal", Message: "the node met an error"}
	for _, p := range changeProblems {
		if errors.Is(err, p.err) {
			out.Status, out.Code, out.Message = p.status, p.code, p.message
			break
		}
	}
	out.Message = n.where(out.Message, err)
	if out.Status == fasthttp.StatusServiceUnavailable {
		r := n.Report()
		if m, known := memberOf(r.Members, r.Leader.ID); known && m.ID != n.cfg.ID {
			out.Leader = m
			out.Message += fmt.Sprintf("; the leader is %s, health port %s", m.ID, m.Health)
		} else if out.Code == "not_leader" {
			out.Code = "no_leader"
		}
		if out.Leader.ID == "" {
			ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		}
	}
	writeMembers(ctx, out.Status, out)
}

func writeMembers(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // plain fields always marshal
		panic(err)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(jsonType)
	ctx.SetBody(append(body, '\n'))
}
