package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// each runs n workers, each with a client of the leader, and returns the first error.
func (s *scaled) each(n int, work func(worker int, c *client) error) {
	s.t.Helper()
	var workers sync.WaitGroup
	failed := make(chan error, n)
	for worker := range n {
		c, err := dial(s.leader.HTTP)
		if err != nil {
			s.t.Fatal(err)
		}
		workers.Go(func() {
			defer c.close()
			if err := work(worker, c); err != nil {
				failed <- err
			}
		})
	}
	workers.Wait()
	select {
	case err := <-failed:
		s.t.Fatal(err)
	default:
	}
}

// fill writes every key once, in no order.
func (s *scaled) fill() {
	s.t.Helper()
	const writers = 256
	s.each(writers, func(worker int, c *client) error {
		for i := worker; i < s.keys; i += writers {
			if _, err := c.put(s.scattered(i), s.value); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range s.Nodes {
		s.WaitCaughtUp(p)
	}
	syscall.Sync() // what the kernel has not written yet would be written during what is measured next
}

// How fast the steady writes are: slow enough for two cores that do the rest as well.
const (
	pacedWriters = 32
	pacedEvery   = 20 * time.Millisecond // a write of each of them
)

// paced writes at a steady rate until enough, and no longer than limit. A write's
// time begins when it should have been sent, so that those that a stall held up
// behind the first show it too.
func (s *scaled) paced(enough func() bool, limit time.Duration) benchmark.Sample {
	s.t.Helper()
	took := make([][]time.Duration, pacedWriters)
	var stop atomic.Bool
	began := time.Now()
	var watch sync.WaitGroup
	watch.Go(func() {
		for !enough() && time.Since(began) < limit {
			time.Sleep(50 * time.Millisecond)
		}
		stop.Store(true)
	})
	use, err := benchmark.NewMeter(s.pids()...).Over(func() {
		s.each(pacedWriters, func(worker int, c *client) error {
			due := began.Add(pacedEvery * time.Duration(worker) / pacedWriters)
			for i := worker; !stop.Load(); i += pacedWriters {
				time.Sleep(time.Until(due))
				if _, err := c.put(s.scattered(i%s.keys), s.value); err != nil {
					return err
				}
				took[worker] = append(took[worker], time.Since(due))
				due = due.Add(pacedEvery)
			}
			return nil
		})
	})
	watch.Wait()
	if err != nil {
		s.t.Fatal(err)
	}
	sample := benchmark.NewSample(took...).With(use)
	sample.PerSecond = float64(sample.Requests) / time.Since(began).Seconds()
	return sample
}

// snapshots says whether the leader has completed n snapshots since this was called.
func (s *scaled) snapshots(n int) func() bool {
	last, seen := s.snapshot(s.leader), 0
	return func() bool {
		if now := s.snapshot(s.leader); now != last {
			last, seen = now, seen+1
		}
		return seen >= n
	}
}

// snapshot is the index of a node's newest snapshot; a node that does not answer has
// what it had.
func (s *scaled) snapshot(p *harness.Process) float64 {
	index, _ := s.Metric(p, "dengine_node_snapshot_index") // asked again
	return index
}

// snapshotTook is how long the leader's newest snapshot took.
func (s *scaled) snapshotTook() benchmark.Sample {
	s.t.Helper()
	took := s.metric(s.leader, "dengine_node_snapshot_seconds")
	if took == 0 {
		s.t.Fatalf("%s does not know how long its snapshot took", s.leader.Name)
	}
	return benchmark.NewSample([]time.Duration{time.Duration(took * float64(time.Second))})
}

func (s *scaled) awaitSnapshot(p *harness.Process) {
	s.t.Helper()
	harness.Eventually(s.t, "a snapshot of "+p.Name, func() error {
		if s.snapshot(p) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
}

// heap is what the garbage collector of a node found in use, after it was made to
// run twice: by pages of keys, which are garbage when they are answered. A node
// without keys fills its heap as well.
func (s *scaled) heap(p *harness.Process) float64 {
	s.t.Helper()
	const cycles = "go_gc_duration_seconds_count"
	first, began := s.metric(p, cycles), time.Now()
	for s.metric(p, cycles) < first+2 {
		if time.Since(began) > 2*harness.Patience {
			s.t.Fatalf("the garbage collector of %s does not run", p.Name)
		}
		for range 20 {
			if a, err := s.Try(http.MethodGet, "http://"+p.HTTP+"/kv?limit=1000&consistency=eventual", ""); err != nil || a.Status != http.StatusOK {
				s.t.Fatalf("%d, %v", a.Status, err)
			}
		}
	}
	return s.metric(p, "go_gc_heap_live_bytes")
}

// metric is one of a node that must answer.
func (s *scaled) metric(p *harness.Process, name string) float64 {
	s.t.Helper()
	v, err := s.Metric(p, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}
