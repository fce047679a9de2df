package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/harness"
)

// dengine is a cluster of three nodes.
type dengine struct {
	*harness.Cluster
	leader   *harness.Process
	follower *harness.Process
}

// startDengine returns a cluster that has every key on every node.
func startDengine(t harness.T, flags ...string) *dengine {
	t.Helper()
	return startFull(t, harness.Options{NoLB: true, NodeArgs: flags})
}

// startBalanced is startDengine with a balancer before it.
func startBalanced(t harness.T, flags ...string) *dengine {
	t.Helper()
	return startFull(t, harness.Options{NodeArgs: flags})
}

func startFull(t harness.T, o harness.Options) *dengine {
	t.Helper()
	d := &dengine{Cluster: harness.Start(t, o)}
	harness.Eventually(t, "every key in dengine", func() error { return d.fill(t) })
	for _, p := range d.Nodes {
		d.WaitCaughtUp(p)
	}
	d.look()
	return d
}

// fill writes every key.
func (d *dengine) fill(t harness.T) error {
	t.Helper()
	c := dialed(t, d.Leader())
	for n := range keys {
		if _, err := c.put(key(n), value); err != nil {
			return err
		}
	}
	return nil
}

// look finds out who leads.
func (d *dengine) look() { d.leader, d.follower = d.Leader(), d.Followers()[0] }

func (d *dengine) pids() []int { return pids(d.Nodes) }

func (d *dengine) steady(harness.T) error {
	before := d.leader
	if d.look(); d.leader != before {
		return fmt.Errorf("dengine's leader changed from %s to %s", before.Name, d.leader.Name)
	}
	return nil
}

func pids(all []*harness.Process) (out []int) {
	for _, p := range all {
		out = append(out, p.PID())
	}
	return out
}

// reads has n reads of one key each in flight over so many connections; the query is that
// of all.
func (d *dengine) reads(t harness.T, n, connections int, query string, at ...*harness.Process) keyed {
	t.Helper()
	next := pick(n)
	return pipelined(t, n, connections, at, valueBytes, func(host string, out []byte) []byte {
		return appendHead(append(append(append(out, "GET /kv/"...), key(next())...), query...), host, "\r\n\r\n")
	})
}

// writes has n writes in flight at the leader.
func (d *dengine) writes(t harness.T, n int) keyed { return d.writesOf(t, n, value) }

func (d *dengine) writesOf(t harness.T, n int, value string) keyed {
	t.Helper()
	return d.writesAt(t, n, d.leader, value)
}

// writesAt has n writes in flight at the leader, or at what stands before it.
func (d *dengine) writesAt(t harness.T, n int, at *harness.Process, value string) keyed {
	t.Helper()
	return d.writesOver(t, n, n, at, value)
}

// writesOver is writesAt over so many connections.
func (d *dengine) writesOver(t harness.T, n, connections int, at *harness.Process, value string) keyed {
	t.Helper()
	next := pick(n)
	return sending(t, n, connections, at, value, func(out []byte) []byte {
		return append(append(out, "/kv/"...), writtenKey(next())...)
	})
}

// sending has n requests in flight over so many connections that put a value at a path.
func sending(t harness.T, n, connections int, at *harness.Process, value string, path func(out []byte) []byte) keyed {
	t.Helper()
	rest := fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(value), value)
	return pipelined(t, n, connections, []*harness.Process{at}, 0, func(host string, out []byte) []byte {
		return appendHead(path(append(out, "PUT "...)), host, rest)
	})
}

// appendHead ends a head that has a method and a path, and goes on with the rest.
func appendHead(out []byte, host, rest string) []byte {
	return append(append(append(out, " HTTP/1.1\r\nHost: "...), host...), rest...)
}
