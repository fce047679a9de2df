package main

import (
	"fmt"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// dengine is a cluster of three nodes without a balancer.
type dengine struct {
	*harness.Cluster
	leader   *harness.Process
	follower *harness.Process
}

// startDengine returns a cluster that has every key on every node.
func startDengine(t harness.T, flags ...string) *dengine {
	t.Helper()
	d := &dengine{Cluster: harness.Start(t, harness.Options{NoLB: true, NodeArgs: flags})}
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
	w := dial(t, d.Leader(), 1).worker()
	for n := range keys {
		if _, err := w.put(key(n), value); err != nil {
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

// reads has n reads of one key in flight at these nodes, each of them with its
// share of n connections. The query is that of every read.
func (d *dengine) reads(t harness.T, n int, query string, at ...*harness.Process) benchmark.Load {
	t.Helper()
	var pool []client
	for _, p := range at {
		pool = append(pool, dial(t, p, n))
	}
	return benchmark.Load{Workers: n, New: func(worker int) func() error {
		w, next := pool[worker%len(pool)].worker(), pick(worker)
		return func() error {
			body, err := w.get(key(next())+query, "")
			if err == nil && len(body) < valueBytes {
				err = fmt.Errorf("dengine answered %q", body)
			}
			return err
		}
	}}
}

// writes has n writes in flight at the leader.
func (d *dengine) writes(t harness.T, n int) benchmark.Load {
	t.Helper()
	c := dial(t, d.leader, n)
	return benchmark.Load{Workers: n, New: func(worker int) func() error {
		w, next := c.worker(), pick(worker)
		return func() error {
			_, err := w.put(key(next()), value)
			return err
		}
	}}
}
