package lb

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// maxBackends bounds a View; discovery ignores members beyond it.
const maxBackends = 64

// Validate names the first field that is out of range, and its value.
func (c Config) Validate() error {
	if err := validateAddr("listen", c.Listen); err != nil {
		return err
	}
	if err := validateAddr("admin", c.Admin); err != nil {
		return err
	}
	if err := validateBackends(c.Backends); err != nil {
		return err
	}
	if err := c.Checks.Validate(); err != nil {
		return err
	}
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	if err := c.validateRoutes(); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		n    int64
		min  int64
	}{
		{"workers", int64(c.Workers), 0},
		{"buffer body", int64(c.BufferBody), 0},
		{"buffer total", int64(c.BufferTotal), 0},
		{"hold timeout", int64(c.HoldTimeout), 0},
		{"hold requests", int64(c.HoldRequests), 0},
		{"hold bytes", int64(c.HoldBytes), 0},
		{"connect timeout", int64(c.ConnectTimeout), 1},
		{"upstream timeout", int64(c.UpstreamTimeout), 1},
		{"read timeout", int64(c.ReadTimeout), 1},
		{"read attempt timeout", int64(c.ReadAttemptTimeout), 1},
		{"stream timeout", int64(c.StreamTimeout), 1},
		{"upstream connections", int64(c.UpstreamConns), 1},
		{"upstream idle connections", int64(c.UpstreamIdleConns), 0},
		{"upstream idle timeout", int64(c.UpstreamIdleTimeout), 1},
		{"drain timeout", int64(c.DrainTimeout), 1},
		{"access log sample", int64(c.AccessLogSample), 1},
	} {
		if f.n < f.min {
			return fmt.Errorf("%s: must be at least %d, not %d", f.name, f.min, f.n)
		}
	}
	if c.ShareReads != ShareNever && c.ShareReads != ShareNodes {
		return fmt.Errorf("share reads %q: must be %q or %q", c.ShareReads, ShareNever, ShareNodes)
	}
	if c.AccessLog == "" {
		return errors.New(`access log "": must be off, stdout or a path`)
	}
	return nil
}

func (c Config) validateRoutes() error {
	for _, m := range c.ReadMethods {
		if m == "" || strings.ContainsAny(m, " /") {
			return fmt.Errorf("read method %q: must be one method, such as GET", m)
		}
	}
	for _, p := range c.ReadPaths {
		method, path, ok := strings.Cut(p, " ")
		if !ok || method == "" || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#") {
			return fmt.Errorf("read path %q: must be a method, a space and a path, such as POST /kv/get", p)
		}
	}
	if c.WritePolicy != WriteLeader && c.WritePolicy != WriteAny {
		return fmt.Errorf("write policy %q: must be %q or %q", c.WritePolicy, WriteLeader, WriteAny)
	}
	return nil
}

func validateBackends(list []Backend) error {
	if len(list) == 0 {
		return errors.New("backends: name at least one")
	}
	if len(list) > maxBackends {
		return fmt.Errorf("backends: at most %d, not %d", maxBackends, len(list))
	}
	ids, addrs := make(map[string]bool), make(map[string]bool)
	for _, be := range list {
		if err := validateAddr("backend", be.HTTP); err != nil {
			return err
		}
		if be.Health != "" {
			if err := validateAddr("backend health", be.Health); err != nil {
				return err
			}
		}
		if addrs[be.HTTP] {
			return fmt.Errorf("backend %q: is named twice", be.HTTP)
		}
		if be.ID != "" && ids[be.ID] {
			return fmt.Errorf("backend id %q: is given twice", be.ID)
		}
		ids[be.ID], addrs[be.HTTP] = true, true
	}
	return nil
}

func validateAddr(what, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %q: must be host:port", what, addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || (n == 0 && strings.HasPrefix(what, "backend")) {
		return fmt.Errorf("%s %q: port must be a number from 1 to 65535", what, addr)
	}
	return nil
}
