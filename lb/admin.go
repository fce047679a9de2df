package lb

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/edge"
	"github.com/valyala/fasthttp"
)

// Status is what the admin port's /status answers.
type Status struct {
	Version  string          `json:"version"`
	Since    time.Time       `json:"since"`
	Draining bool            `json:"draining"`
	Leader   string          `json:"leader"` // id, or HTTP address; empty: none is known
	Term     uint64          `json:"term"`   // the leader's
	Backends []BackendStatus `json:"backends"`
	Requests RequestStatus   `json:"requests"`
	Held     HeldStatus      `json:"held"`
	// Written is the highest log index of a write that was answered, where reads are
	// to see the clients' own writes; else 0.
	Written uint64        `json:"written"`
	Session SessionStatus `json:"session"`
	Clients ClientStatus  `json:"clients"`
}

// BackendStatus is one backend.
type BackendStatus struct {
	ID      string           `json:"id"`
	HTTP    string           `json:"http"`
	Health  string           `json:"health"`
	Up      bool             `json:"up"`    // answers its checks
	Ready   bool             `json:"ready"` // gets reads
	Leader  bool             `json:"leader"`
	Role    healthcheck.Role `json:"role"`
	Term    uint64           `json:"term"`
	Applied uint64           `json:"applied"` // by its last report
	Reached uint64           `json:"reached"` // by its reports and answers
	// Requests counts attempts, Errors those that gave no answer.
	Requests    uint64 `json:"requests"`
	Errors      uint64 `json:"errors"`
	Connections int    `json:"connections"`
}

// RequestStatus counts requests since the start.
type RequestStatus struct {
	Reads         uint64 `json:"reads"`
	Writes        uint64 `json:"writes"`
	InFlight      int64  `json:"in_flight"`
	BufferedBytes int64  `json:"buffered_bytes"`  // that the bodies of those may take
	WritesInDoubt uint64 `json:"writes_in_doubt"` // answered 502 or 504 with an unknown outcome
	// ReadsCalledOff counts attempts of reads that ended because the node could serve
	// reads no more, and others could.
	ReadsCalledOff uint64 `json:"reads_called_off"`
}

// HeldStatus is about requests that wait for a backend.
type HeldStatus struct {
	Now     int64  `json:"now"`
	Bytes   int64  `json:"bytes"`
	Total   uint64 `json:"total"`
	Dropped uint64 `json:"dropped"` // their clients left
	Refused uint64 `json:"refused"` // too many waited already
}

// SessionStatus is about the writes that carry a number, so that they can be sent
// again when their leader is lost.
type SessionStatus struct {
	// State is open; opening; none, while no leader keeps identities; refused,
	// where the cluster has no room; or off.
	State     string `json:"state"`
	Open      int    `json:"open"`       // sessions; more than one where its numbers ran out
	InFlight  int    `json:"in_flight"`  // numbers in use
	Waits     uint64 `json:"waits"`      // writes that found no number free
	Doubts    uint64 `json:"doubts"`     // writes that were sent and whose answer was lost, numbered or not
	Replays   uint64 `json:"replays"`    // sendings of such writes under their number
	BrokenOff uint64 `json:"broken_off"` // writes broken off because another backend took the lead
}

// ClientStatus is about clients' connections.
type ClientStatus struct {
	Open     int64  `json:"open"`
	Rejected uint64 `json:"rejected"`
}

// Status is the state now.
func (b *Balancer) Status() Status {
	v := b.registry.view.Load()
	s := Status{
		Version: b.set.Load().cfg.Version, Since: b.started, Draining: b.draining.Load(),
		Written: b.registry.written.index.Load(),
		Requests: RequestStatus{
			InFlight: b.inFlight.Load(), BufferedBytes: b.buffered.Load(),
			WritesInDoubt: b.inDoubt.Load(), ReadsCalledOff: b.registry.calledOff.Load(),
		},
		Held: HeldStatus{
			Now: b.held.requests.Load(), Bytes: b.held.bytes.Load(), Total: b.held.total.Load(),
			Dropped: b.held.dropped.Load(), Refused: b.held.refused.Load(),
		},
		Clients: ClientStatus{Open: b.front.open.Load(), Rejected: b.stats.rejected.Load()},
	}
	state, open, inUse := b.sessions.report()
	s.Session = SessionStatus{
		State: string(state), Open: open, InFlight: inUse, Waits: b.sessions.waits.Load(),
		Doubts: b.doubts.Load(), Replays: b.replays.Load(), BrokenOff: b.registry.brokenOff.Load(),
	}
	for i := range b.stats.answers[classRead] {
		s.Requests.Reads += b.stats.answers[classRead][i].Load()
		s.Requests.Writes += b.stats.answers[classWrite][i].Load()
	}
	for i, n := range v.Nodes {
		if i == v.Leader {
			s.Leader, s.Term = n.ID, n.Term
			if n.ID == "" {
				s.Leader = n.HTTP
			}
		}
		s.Backends = append(s.Backends, BackendStatus{
			ID: n.ID, HTTP: n.HTTP, Health: n.Health, Up: n.Up && !n.Suspect, Ready: slices.Contains(v.Readers, i), Leader: i == v.Leader,
			Role: n.Role, Term: n.Term, Applied: n.Applied, Reached: n.backend.reached.Load(),
			Requests: n.backend.requests.Load(), Errors: n.backend.errors.Load(), Connections: n.backend.pool.size(),
		})
	}
	return s
}

// adminLimits suit a port that a few programs look at.
func adminLimits() edge.Limits {
	l := edge.DefaultLimits()
	l.BodyBytes, l.Conns = 1<<10, 256
	return l
}

// serveAdmin answers operators.
func (b *Balancer) serveAdmin(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if path == "/drain" {
		if !ctx.IsPost() {
			methodNotAllowed(ctx, "POST")
			return
		}
		if len(ctx.Request.Header.Peek("Origin")) > 0 {
			// A page in an operator's browser could send it.
			(&edge.Problem{Status: fasthttp.StatusForbidden, Code: "forbidden", Message: "browsers may not do this: send it without Origin"}).Write(ctx)
			return
		}
		// As SIGTERM, but the process stays, and with it this port, until it is
		// told to end. So an operator can watch in_flight go to zero.
		b.beginDrain()
		writeJSON(ctx, fasthttp.StatusAccepted, b.Status())
		return
	}
	if !slices.Contains([]string{"/status", "/metrics", "/livez", "/readyz"}, path) {
		(&edge.Problem{Status: fasthttp.StatusNotFound, Code: "not_found",
			Message: "unknown path; the admin port has /status /metrics /livez /readyz and POST /drain"}).Write(ctx)
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		methodNotAllowed(ctx, "GET, HEAD")
		return
	}
	switch path {
	case "/status":
		writeJSON(ctx, fasthttp.StatusOK, b.Status())
	case "/metrics":
		b.serveMetrics(ctx)
	case "/livez":
		writeJSON(ctx, fasthttp.StatusOK, struct {
			Live bool `json:"live"`
		}{true})
	case "/readyz":
		b.serveReady(ctx)
	}
}

// serveReady is 200 while a new client would be served: writes have somewhere
// to go, and so have reads.
func (b *Balancer) serveReady(ctx *fasthttp.RequestCtx) {
	v := b.registry.view.Load()
	cfg := &b.set.Load().cfg
	why := ""
	switch {
	case b.draining.Load():
		why = "the balancer is draining"
	case len(v.Readers) == 0:
		why = "no backend can serve reads"
	case v.Leader < 0 && cfg.WritePolicy == WriteLeader:
		why = "no leader is known"
	}
	if why != "" {
		(&edge.Problem{Status: fasthttp.StatusServiceUnavailable, Code: "not_ready", Message: why}).Write(ctx)
		return
	}
	writeJSON(ctx, fasthttp.StatusOK, struct {
		Ready bool `json:"ready"`
	}{true})
}

func (b *Balancer) serveMetrics(ctx *fasthttp.RequestCtx) {
	text, kind, err := b.metricsText()
	if err != nil {
		(&edge.Problem{Status: fasthttp.StatusInternalServerError, Code: "internal", Message: err.Error()}).Write(ctx)
		return
	}
	ctx.SetContentType(kind)
	ctx.SetBody(text)
}

func methodNotAllowed(ctx *fasthttp.RequestCtx, allow string) {
	(&edge.Problem{Status: fasthttp.StatusMethodNotAllowed, Code: "method_not_allowed", Allow: allow,
		Message: "this path answers " + allow + " only"}).Write(ctx)
}

func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a programming error can get here: all values are plain structs
		panic(err)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
