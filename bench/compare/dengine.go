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
	d.leader, d.follower = d.Leader(), d.Followers()[0]
	w := dial(t, d.leader, 1).worker()
	for n := range keys {
		if _, err := w.put(key(n), value); err != nil {
			t.Fatalf("fill dengine: %v", err)
		}
	}
	for _, p := range d.Nodes {
		d.WaitCaughtUp(p)
	}
	return d
}

func (d *dengine) pids() []int { return pids(d.Nodes) }

func (d *dengine) steady(t harness.T) {
	t.Helper()
	if now := d.Leader(); now != d.leader {
		t.Fatalf("dengine's leader changed from %s to %s", d.leader.Name, now.Name)
	}
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
