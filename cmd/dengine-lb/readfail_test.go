package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// Whatever happens to one node, no read through the balancer fails, at the level
// that nodes have unless they are told otherwise.
func TestNoReadFailsInAFailover(t *testing.T) {
	t.Parallel()
	// A busy machine elects late; a read that nobody serves still fails before its client gives up.
	c := harness.Start(t, harness.Options{Faults: true, Relays: true, LBArgs: []string{"--hold-timeout", "50s", "--read-timeout", "55s"}})
	if a := c.Do("PUT", "http://"+c.Front+"/kv/a", "v"); a.Status != 200 {
		t.Fatalf("PUT: %+v", a)
	}
	for _, f := range []struct {
		name  string
		begin func() (end func())
	}{
		{"the leader is killed", func() func() {
			p := c.Leader()
			p.Kill()
			return p.Start
		}},
		{"the leader hangs", func() func() {
			p := c.Leader()
			p.Signal(syscall.SIGSTOP)
			return func() { p.Signal(syscall.SIGCONT) }
		}},
		{"a follower is cut off from the others", func() func() {
			cut(c, c.Followers()[0])
			return c.Net.Heal
		}},
		{"the leader is cut off from the others", func() func() {
			cut(c, c.Leader())
			return c.Net.Heal
		}},
		{"the leader's disk hangs", func() func() {
			p := c.Leader()
			p.Fault("hang")
			return func() { p.Fault("") }
		}},
	} {
		r := startReaders(c)
		r.progress(100)
		end := f.begin()
		harness.Eventually(t, "a write", func() error {
			if a, err := c.Try("PUT", "http://"+c.Front+"/kv/a", "v"); err != nil || a.Status != 200 {
				return fmt.Errorf("%+v, %w", a, err)
			}
			return nil
		})
		r.goOn()
		end()
		c.WaitReady()
		r.progress(100)
		longest := r.end()
		t.Logf("%s: the longest of %d reads took %v", f.name, r.done.Load(), longest)
		for _, what := range r.failed {
			t.Errorf("%s: a read failed: %s", f.name, what)
		}
	}
}

// cut stops everything between a node and the other nodes, both ways.
func cut(c *harness.Cluster, p *harness.Process) {
	for _, other := range c.Nodes {
		if other != p {
			c.Net.Cut(p.Name, other.Name)
			c.Net.Cut(other.Name, p.Name)
		}
	}
}

// readers read one key through the balancer, each as fast as it is answered.
type readers struct {
	c    *harness.Cluster
	stop chan struct{}
	wg   sync.WaitGroup
	done atomic.Int64

	mu      sync.Mutex
	longest time.Duration
	failed  []string
}

func startReaders(c *harness.Cluster) *readers {
	r := &readers{c: c, stop: make(chan struct{})}
	for range 8 {
		r.wg.Go(r.run)
	}
	return r
}

func (r *readers) run() {
	for {
		select {
		case <-r.stop:
			return
		default:
		}
		began := time.Now()
		a, err := r.c.Try("GET", "http://"+r.c.Front+"/kv/a", "")
		took := time.Since(began)
		r.done.Add(1)
		r.mu.Lock()
		r.longest = max(r.longest, took)
		if err != nil || a.Status >= 500 { // 404 is what a node says that has just been started again
			r.failed = append(r.failed, fmt.Sprintf("after %v: %+v, %v", took, a, err))
		}
		r.mu.Unlock()
	}
}

// progress waits until n more reads have been answered.
func (r *readers) progress(n int64) {
	r.c.T.Helper()
	from := r.done.Load()
	harness.Eventually(r.c.T, "reads to go on", func() error {
		if now := r.done.Load(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

// goOn waits until many reads have been answered, or some and ten seconds have passed:
// by then every timeout has run out that the fault may cost a read.
func (r *readers) goOn() {
	r.c.T.Helper()
	from, began := r.done.Load(), time.Now()
	harness.Eventually(r.c.T, "reads to go on", func() error {
		if n := r.done.Load() - from; n < 100 || n < 2000 && time.Since(began) < 10*time.Second {
			return fmt.Errorf("%d reads", n)
		}
		return nil
	})
}

func (r *readers) end() time.Duration {
	close(r.stop)
	r.wg.Wait()
	return r.longest
}
