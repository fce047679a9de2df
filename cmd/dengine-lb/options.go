package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dengine/dengine/healthcheck"
	"github.com/dengine/dengine/internal/settings"
	"github.com/dengine/dengine/lb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// options are the balancer's configuration and what only the program needs.
type options struct {
	cfg       lb.Config
	check     bool
	logLevel  zapcore.Level
	logFormat string
}

func newOptions() *options {
	return &options{cfg: lb.DefaultConfig(), logLevel: zapcore.InfoLevel, logFormat: "console"}
}

// list names every setting.
func (o *options) list() []settings.Setting {
	c := &o.cfg
	var out []settings.Setting
	out = append(out, []settings.Setting{
		{Name: "listen", Usage: "host:port for clients", Value: settings.String(&c.Listen)},
		{Name: "admin", Usage: "host:port for operators: /status /metrics /livez /readyz, POST /drain", Value: settings.String(&c.Admin)},
		{Name: "backend", Usage: `a backend, "id=n1,http=host:port,health=host:port"; id and health may be left out; may be given several times`,
			Value: settings.List(&c.Backends, parseBackend, formatBackend)},
		{Name: "discover", Usage: "add and remove backends as dengine nodes report members", Value: settings.Bool(&c.Discover)},
	}...)
	out = append(out, o.health()...)
	out = append(out, o.routing()...)
	out = append(out, o.limits()...)
	out = append(out, o.timeouts()...)
	return append(out, []settings.Setting{
		{Name: "access-log", Usage: "off, stdout, or a file for one JSON line a request", Value: settings.String(&c.AccessLog)},
		{Name: "access-log-sample", Usage: "log one request of this many; failed ones always", Value: settings.Int(&c.AccessLogSample)},
		{Name: "log-level", Usage: "debug, info, warn or error", Value: settings.Parsed(&o.logLevel, zapcore.ParseLevel, zapcore.Level.String)},
		{Name: "log-format", Usage: "console or json", Value: settings.Parsed(&o.logFormat, parseFormat, func(s string) string { return s })},
		{Name: "check", Usage: "check the settings, print them and exit", Value: settings.Bool(&o.check)},
	}...)
}

func (o *options) health() []settings.Setting {
	h := &o.cfg.Checks
	return []settings.Setting{
		{Name: "health-mode", Usage: "role: watch /role of dengine nodes; poll: ask the two paths below, for any HTTP service",
			Value: settings.Parsed(&h.Mode, parseMode, func(m healthcheck.Mode) string { return string(m) })},
		{Name: "primary-path", Usage: "answers an expected status where writes go; empty: nowhere", Value: settings.String(&h.PrimaryPath)},
		{Name: "replica-path", Usage: "answers an expected status where only reads go; empty: nowhere", Value: settings.String(&h.ReplicaPath)},
		{Name: "expect-status", Usage: "statuses that mean yes, such as 200,204 or 200-299",
			Value: settings.Parsed(&h.Expect, healthcheck.ParseStatuses, healthcheck.Statuses.String)},
		{Name: "health-host", Usage: "Host header of checks; empty: the address", Value: settings.String(&h.Host)},
		{Name: "health-interval", Usage: "from the end of a check to the next", Value: settings.Duration(&h.Interval)},
		{Name: "health-timeout", Usage: "for one check", Value: settings.Duration(&h.Timeout)},
		{Name: "health-long-poll", Usage: "wait asked of /role; 0: none", Value: settings.Duration(&h.LongPoll)},
		{Name: "rise", Usage: "good checks in a row that bring a backend back", Value: settings.Int(&h.Rise)},
		{Name: "fall", Usage: "bad checks in a row that take a backend out", Value: settings.Int(&h.Fall)},
	}
}

func (o *options) routing() []settings.Setting {
	c := &o.cfg
	text := func(s string) (string, error) { return s, nil }
	same := func(s string) string { return s }
	return []settings.Setting{
		{Name: "read-method", Usage: "a method that is a read; may be given several times", Value: settings.List(&c.ReadMethods, text, same)},
		{Name: "read-path", Usage: `a further read, "METHOD /path"; may be given several times; POST /kv/get of dengine nodes is one`, Value: settings.List(&c.ReadPaths, text, same)},
		{Name: "write-policy", Usage: "leader: writes go to the leader; any: they go round like reads",
			Value: settings.Parsed(&c.WritePolicy, parsePolicy, func(p lb.WritePolicy) string { return string(p) })},
		{Name: "identities", Usage: "number writes for leaders that keep identities, so that they can be sent again after a leader died", Value: settings.Bool(&c.Identities)},
		{Name: "read-your-writes", Usage: "let every read see every write that was answered through this balancer, whatever its level", Value: settings.Bool(&c.ReadYourWrites)},
		{Name: "share-reads", Usage: "nodes: short reads and writes to dengine nodes share connections; never: they do not",
			Value: settings.Parsed(&c.ShareReads, parseShare, func(p lb.SharePolicy) string { return string(p) })},
		{Name: "trust-forwarded", Usage: "keep the X-Forwarded headers of clients: only behind another proxy", Value: settings.Bool(&c.TrustForwarded)},
		{Name: "buffer-body", Usage: "largest request body that is kept to be sent again", Value: settings.Bytes(&c.BufferBody)},
		{Name: "buffer-total", Usage: "all such bodies together", Value: settings.Bytes(&c.BufferTotal)},
		{Name: "hold-timeout", Usage: "how long a request waits for a backend; 0: not at all", Value: settings.Duration(&c.HoldTimeout)},
		{Name: "hold-max-requests", Usage: "how many may wait at once", Value: settings.Int(&c.HoldRequests)},
		{Name: "hold-max-bytes", Usage: "how many bytes they may hold together", Value: settings.Bytes(&c.HoldBytes)},
	}
}

func (o *options) limits() []settings.Setting {
	c := &o.cfg
	return []settings.Setting{
		{Name: "max-header", Usage: "request line and headers, in bytes; answers' heads too", Value: settings.Bytes(&c.Limits.HeaderBytes)},
		{Name: "max-body", Usage: "request body, in bytes", Value: settings.Bytes(&c.Limits.BodyBytes)},
		{Name: "workers", Usage: "goroutines that answer plain requests, each many of them; 0: every request has one of its own", Value: settings.Int(&c.Workers)},
		{Name: "max-connections", Usage: "clients' connections at once", Value: settings.Int(&c.Limits.Conns)},
		{Name: "upstream-connections", Usage: "open connections to one backend", Value: settings.Int(&c.UpstreamConns)},
		{Name: "upstream-idle-connections", Usage: "idle connections kept to one backend", Value: settings.Int(&c.UpstreamIdleConns)},
	}
}

func (o *options) timeouts() []settings.Setting {
	c := &o.cfg
	return []settings.Setting{
		{Name: "header-timeout", Usage: "for a request's headers", Value: settings.Duration(&c.Limits.HeaderTimeout)},
		{Name: "body-timeout", Usage: "for a request's body; for each pause in one that streams", Value: settings.Duration(&c.Limits.BodyTimeout)},
		{Name: "idle-timeout", Usage: "for a client's connection without a request", Value: settings.Duration(&c.Limits.IdleTimeout)},
		{Name: "write-timeout", Usage: "for an answer, or a piece of one that streams, to leave", Value: settings.Duration(&c.Limits.WriteTimeout)},
		{Name: "connect-timeout", Usage: "for a connection to a backend", Value: settings.Duration(&c.ConnectTimeout)},
		{Name: "upstream-timeout", Usage: "for a backend's answer to begin", Value: settings.Duration(&c.UpstreamTimeout)},
		{Name: "read-timeout", Usage: "for all attempts of one read", Value: settings.Duration(&c.ReadTimeout)},
		{Name: "read-attempt-timeout", Usage: "for one attempt of a read while others could serve it", Value: settings.Duration(&c.ReadAttemptTimeout)},
		{Name: "stream-timeout", Usage: "silence that ends an answer that streams, or a WebSocket", Value: settings.Duration(&c.StreamTimeout)},
		{Name: "upstream-idle-timeout", Usage: "how long an idle connection to a backend is kept", Value: settings.Duration(&c.UpstreamIdleTimeout)},
		{Name: "drain-timeout", Usage: "how long SIGTERM waits for what is in flight", Value: settings.Duration(&c.DrainTimeout)},
	}
}

func parseBackend(s string) (lb.Backend, error) {
	f, err := settings.Fields(s, "id", "http", "health")
	if err != nil {
		return lb.Backend{}, err
	}
	if f["http"] == "" {
		return lb.Backend{}, fmt.Errorf("%q: http is missing", s)
	}
	return lb.Backend{ID: f["id"], HTTP: f["http"], Health: f["health"]}, nil
}

func formatBackend(b lb.Backend) string {
	parts := []string{"http=" + b.HTTP}
	if b.ID != "" {
		parts = append([]string{"id=" + b.ID}, parts...)
	}
	if b.Health != "" {
		parts = append(parts, "health="+b.Health)
	}
	return strings.Join(parts, ",")
}

func parseMode(s string) (healthcheck.Mode, error) {
	if m := healthcheck.Mode(s); m == healthcheck.ModeRole || m == healthcheck.ModePoll {
		return m, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", s, healthcheck.ModeRole, healthcheck.ModePoll)
}

func parsePolicy(s string) (lb.WritePolicy, error) {
	if p := lb.WritePolicy(s); p == lb.WriteLeader || p == lb.WriteAny {
		return p, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", s, lb.WriteLeader, lb.WriteAny)
}

func parseShare(s string) (lb.SharePolicy, error) {
	if p := lb.SharePolicy(s); p == lb.ShareNever || p == lb.ShareNodes {
		return p, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", s, lb.ShareNever, lb.ShareNodes)
}

func parseFormat(s string) (string, error) {
	if s != "json" && s != "console" {
		return "", fmt.Errorf("%q: want console or json", s)
	}
	return s, nil
}

// logger writes to w.
func (o *options) logger(w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc := zapcore.NewConsoleEncoder(cfg)
	if o.logFormat == "json" {
		enc = zapcore.NewJSONEncoder(cfg)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), o.logLevel))
}
