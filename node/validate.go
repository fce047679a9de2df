package node

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"
)

// Validate names the first field that cannot be used, and its value.
func (c Config) Validate() error {
	if err := c.validateNames(); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int64
		least int64
	}{
		{"heartbeat timeout", int64(c.HeartbeatTimeout), int64(5 * time.Millisecond)},
		{"election timeout", int64(c.ElectionTimeout), int64(5 * time.Millisecond)},
		{"lease timeout", int64(c.LeaseTimeout), int64(5 * time.Millisecond)},
		{"commit timeout", int64(c.CommitTimeout), int64(time.Millisecond)},
		{"rpc timeout", int64(c.RPCTimeout), int64(10 * time.Millisecond)},
		{"disk timeout", int64(c.DiskTimeout), int64(10 * time.Millisecond)},
		{"snapshot interval", int64(c.SnapshotInterval), int64(5 * time.Millisecond)},
		{"snapshot retain", int64(c.SnapshotRetain), 1},
		{"max entry bytes", int64(c.MaxEntryBytes), 1},
		{"max append bytes", int64(c.MaxAppendBytes), 1},
		{"log cache bytes", int64(c.LogCacheBytes), 0},
		{"max value bytes", int64(c.MaxValueBytes), 1},
		{"write timeout", int64(c.WriteTimeout), int64(time.Millisecond)},
		{"read timeout", int64(c.ReadTimeout), int64(time.Millisecond)},
	} {
		if f.value < f.least {
			return fmt.Errorf("%s is %d: must be at least %d", f.name, f.value, f.least)
		}
	}
	switch {
	case c.LeaseTimeout > c.HeartbeatTimeout:
		return fmt.Errorf("lease timeout %v is longer than the heartbeat timeout %v: an old leader could outlive an election", c.LeaseTimeout, c.HeartbeatTimeout)
	case c.ElectionTimeout < c.HeartbeatTimeout:
		return fmt.Errorf("election timeout %v is shorter than the heartbeat timeout %v", c.ElectionTimeout, c.HeartbeatTimeout)
	case c.MaxValueBytes > maxValueBytes:
		return fmt.Errorf("max value bytes is %d: must be at most %d", c.MaxValueBytes, maxValueBytes)
	}
	if err := c.validateIdentities(); err != nil {
		return err
	}
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	return c.validateMembers()
}

// name is what ids and cluster names look like: they stand in headers and paths.
var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c Config) validateNames() error {
	if c.ID == "" {
		return errors.New("id is missing")
	}
	for _, f := range []struct{ what, value string }{{"id", c.ID}, {"cluster", c.Cluster}} {
		if !name.MatchString(f.value) {
			return fmt.Errorf("%s %q: want 1 to 64 letters, digits, dots, dashes or underscores", f.what, f.value)
		}
	}
	if c.DataDir == "" {
		return errors.New("data dir is missing")
	}
	if c.ReadLevel < Linearizable || c.ReadLevel > Eventual {
		return errors.New("read consistency: want linearizable, lease or eventual")
	}
	if _, ok := logNames[c.LogStore]; !ok && c.LogStore != "" {
		return fmt.Errorf("log store %q: want bolt or wal, or nothing for the one that the data dir has", c.LogStore)
	}
	for _, f := range []struct {
		what, value string
		may         bool // be empty
	}{
		{"raft listen address", c.RaftListen, false}, {"HTTP listen address", c.HTTPListen, true}, {"health listen address", c.HealthListen, true},
	} {
		if _, port, err := net.SplitHostPort(f.value); (err != nil || port == "") && (f.value != "" || !f.may) {
			return fmt.Errorf("%s %q: want host:port", f.what, f.value)
		}
	}
	return nil
}

// maxValueBytes keeps one entry well below what an RPC can carry in time, and what
// raft-wal takes (64 MiB).
const maxValueBytes = 32 << 20

func (c Config) validateMembers() error {
	if n := len(c.InitialCluster); n == 0 || n > maxMembers || n%2 == 0 {
		return fmt.Errorf("initial cluster has %d members: must be 1, 3, 5, 7 or %d, since an even number tolerates no more failures than one less", n, maxMembers)
	}
	if c.Join && len(c.InitialCluster) == 1 {
		return errors.New("join: the initial cluster names no other node to ask")
	}
	seen := make(map[string]string) // what it is and its value, to the member
	for _, m := range c.InitialCluster {
		if !name.MatchString(m.ID) {
			return fmt.Errorf("initial cluster: id %q: want 1 to 64 letters, digits, dots, dashes or underscores", m.ID)
		}
		if m.Raft == "" {
			return fmt.Errorf("initial cluster: member %s has no raft address", m.ID)
		}
		if _, twice := seen["id "+m.ID]; twice {
			return fmt.Errorf("initial cluster: id %s is given twice", m.ID)
		}
		seen["id "+m.ID] = m.ID
		for _, f := range []struct{ what, addr string }{{"raft", m.Raft}, {"http", m.HTTP}, {"health", m.Health}} {
			if f.addr == "" {
				continue
			}
			if _, port, err := net.SplitHostPort(f.addr); err != nil || port == "" || port == "0" {
				return fmt.Errorf("initial cluster: member %s: %s address %q: want host:port", m.ID, f.what, f.addr)
			}
			if other, twice := seen[f.addr]; twice {
				return fmt.Errorf("initial cluster: %s address %q of member %s is also one of member %s", f.what, f.addr, m.ID, other)
			}
			seen[f.addr] = m.ID
		}
	}
	if !slices.ContainsFunc(c.InitialCluster, func(m Member) bool { return m.ID == c.ID }) {
		return fmt.Errorf("initial cluster does not name this node, %s", c.ID)
	}
	return nil
}
