package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/benchmark"
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

// connected has n requests in flight at these nodes, each over a connection of its own.
// each returns what sends one after the other, for one worker.
func connected(t harness.T, n int, at []*harness.Process, each func(c *client, worker int) func() error) keyed {
	t.Helper()
	var all []*client
	for worker := range n {
		c, err := dial(at[worker%len(at)].HTTP)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return keyed{
		Load: benchmark.Load{Workers: n, New: func(worker int) func() error { return each(all[worker], worker) }},
		close: func() {
			for _, c := range all {
				c.close()
			}
		},
	}
}

// reads has n reads of one key each in flight; the query is that of all.
func (d *dengine) reads(t harness.T, n int, query string, at ...*harness.Process) keyed {
	t.Helper()
	return connected(t, n, at, func(c *client, worker int) func() error {
		next := pick(worker)
		return func() error {
			body, err := c.get(key(next()), query, "")
			if err == nil && len(body) < valueBytes {
				err = fmt.Errorf("dengine answered %q", body)
			}
			return err
		}
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
	return connected(t, n, []*harness.Process{at}, func(c *client, worker int) func() error {
		next := pick(worker)
		return func() error {
			_, err := c.put(writtenKey(next()), value)
			return err
		}
	})
}
