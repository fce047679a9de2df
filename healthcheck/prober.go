package healthcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// maxReportBytes bounds what a prober reads of one answer.
const maxReportBytes = 1 << 20

// errNoRole says that a backend answered, but not with a Report: it is not a
// dengine node, or stands behind something that hides /role.
var errNoRole = errors.New("backend has no /role")

// Prober asks one backend's health port. Its methods may be called from
// several goroutines.
type Prober struct {
	base   string
	checks Checks
	client *fasthttp.HostClient
}

// NewProber checks the health port at addr (host:port).
func NewProber(addr string, c Checks) *Prober {
	return &Prober{base: "http://" + addr, checks: c, client: &fasthttp.HostClient{
		Addr:                   addr,
		Name:                   "dengine-healthcheck",
		MaxConns:               8,
		MaxIdleConnDuration:    time.Minute,
		MaxResponseBodySize:    maxReportBytes,
		DisablePathNormalizing: true,
		DialTimeout: func(addr string, timeout time.Duration) (net.Conn, error) {
			if timeout <= 0 || timeout > c.Timeout {
				timeout = c.Timeout
			}
			return net.DialTimeout("tcp", addr, timeout)
		},
		// A reused connection may have been closed by the backend meanwhile; one
		// more try on a fresh one tells that from a backend that is down.
		MaxIdemponentCallAttempts: 2,
		RetryIfErr: func(_ *fasthttp.Request, attempts int, err error) (resetTimeout, retry bool) {
			return false, attempts < 2 && !errors.Is(err, fasthttp.ErrTimeout)
		},
	}}
}

// Close drops idle connections.
func (p *Prober) Close() { p.client.CloseIdleConnections() }

// Role asks /role. With a wait it returns when the backend's epoch is no longer
// the given one, or after the wait. A backend without /role gives errNoRole.
func (p *Prober) Role(epoch string, wait time.Duration) (Report, error) {
	uri := p.base + PathRole
	if wait > 0 {
		uri += "?wait=" + wait.String() + "&epoch=" + url.QueryEscape(epoch)
	}
	var r Report
	_, err := p.get(uri, wait+p.checks.Timeout, func(resp *fasthttp.Response) error {
		if resp.StatusCode() != fasthttp.StatusOK {
			return fmt.Errorf("%w: status %d", errNoRole, resp.StatusCode())
		}
		if err := json.Unmarshal(resp.Body(), &r); err != nil || r.Epoch == "" {
			return fmt.Errorf("%w: not a role report", errNoRole)
		}
		return nil
	})
	return r, err
}

// Poll asks the primary and the replica path and makes a Report of the answers:
// Ready where one of them said yes, Role unknown ("") where none did. Where both
// paths are the same, one yes means both. An error means that the backend did
// not answer at all.
func (p *Prober) Poll() (Report, error) {
	var r Report
	ask := func(path string, yes *bool) error {
		if path == "" {
			return nil
		}
		status, err := p.get(p.base+path, p.checks.Timeout, func(resp *fasthttp.Response) error {
			if id := resp.Header.Peek(HeaderNode); len(id) > 0 {
				r.ID = string(id)
			}
			if term, err := strconv.ParseUint(string(resp.Header.Peek(HeaderTerm)), 10, 64); err == nil {
				r.Term = max(r.Term, term)
			}
			return nil
		})
		if err != nil {
			return err
		}
		*yes = p.checks.Expect.Has(status)
		if !*yes {
			r.Reason = fmt.Sprintf("%s answers %d", path, status)
		}
		return nil
	}
	if err := ask(p.checks.PrimaryPath, &r.Primary); err != nil {
		return Report{}, err
	}
	if p.checks.ReplicaPath == p.checks.PrimaryPath {
		r.Replica = r.Primary
	} else if !r.Primary {
		if err := ask(p.checks.ReplicaPath, &r.Replica); err != nil {
			return Report{}, err
		}
	}
	switch {
	case r.Primary:
		r.Role = RoleLeader
	case r.Replica:
		r.Role, r.Following = RoleFollower, true
	}
	r.Ready = r.Primary || r.Replica
	if r.Ready {
		r.Reason = ""
	}
	return r, nil
}

// get reads one answer within the timeout and hands it to read.
func (p *Prober) get(uri string, timeout time.Duration, read func(*fasthttp.Response) error) (int, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(uri)
	if p.checks.Host != "" {
		req.Header.SetHost(p.checks.Host)
		req.UseHostHeader = true
	}
	err := p.client.DoTimeout(req, resp, timeout)
	if errors.Is(err, fasthttp.ErrConnectionClosed) {
		// Most likely a kept connection to an earlier run of the backend, which says
		// nothing of this one. If it has just died, the next error is its port's.
		err = p.client.DoTimeout(req, resp, timeout)
	}
	if err != nil {
		return 0, fmt.Errorf("check %s: %w", uri, err)
	}
	if err := read(resp); err != nil {
		return 0, fmt.Errorf("check %s: %w", uri, err)
	}
	return resp.StatusCode(), nil
}
