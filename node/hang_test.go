package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// raft goes on answering heartbeats while a follower's disk hangs; /replica must
// not say that all is well.
func TestFollowerWithHungDiskIsNoReplica(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patientWithDisks) // it does not know yet that its disk hangs
	l := c.leader()
	f := c.others(l)[0]
	release := c.nodes[f].HangLog()
	if w := c.do("PUT", c.api(l, "/kv/a"), "v"); w.status != 200 {
		t.Errorf("the other two do not go on: %+v", w)
	}
	harness.Eventually(t, "/replica to say no", func() error {
		if a := c.do("GET", c.health(f, "/replica"), ""); a.status != 503 || !strings.Contains(a.body, "no append") {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	release()
	harness.Eventually(t, "/replica to say yes again", func() error {
		if a := c.do("GET", c.health(f, "/replica"), ""); a.status != 200 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	c.sameState()
}

// Close must return although the disk does not, and its write must not claim to
// know what became of it.
func TestCloseOfLeaderWithHungDisk(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	l := c.leader()
	n := c.nodes[l]
	c.nodes[l] = nil
	release := n.HangLog()
	defer release()
	wrote := make(chan error, 1)
	go func() {
		_, err := n.Put(context.Background(), []byte("a"), []byte("v"), node.Condition{})
		wrote <- err
	}()
	harness.Eventually(t, "writes to be under way", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := n.Put(ctx, []byte("b"), []byte("v"), node.Condition{}); !errors.Is(err, node.ErrUnknown) {
			return fmt.Errorf("%w", err)
		}
		return nil
	})
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	select {
	case err := <-closed:
		if err == nil || !strings.Contains(err.Error(), "its disk hangs") {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(harness.Patience):
		t.Fatal("Close does not return")
	}
	if err := <-wrote; !errors.Is(err, node.ErrUnknown) {
		t.Errorf("the write: %v", err)
	}
}

// raft goes on sending heartbeats while a leader's disk hangs; the others must
// elect all the same, and have the same history when the disk answers.
func TestLeaderWithHungDiskIsDeposed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(cfg *node.Config) { cfg.DiskTimeout = time.Second })
	old := c.leader()
	if w := c.do("PUT", c.api(old, "/kv/a"), "v"); w.status != 200 {
		t.Fatalf("%+v", w)
	}
	release := c.nodes[old].HangLog()
	n, results := c.nodes[old], make(chan error, 64)
	for i := range cap(results) { // more than there are entries in flight
		go func() {
			_, err := n.Put(t.Context(), fmt.Append(nil, "in flight ", i), []byte("v"), node.Condition{})
			results <- err
		}()
	}
	harness.Eventually(t, "another leader", func() error {
		for _, i := range c.others(old) {
			if c.nodes[i].Report().Primary {
				return nil
			}
		}
		return errors.New("none")
	})
	harness.Eventually(t, "the hung node to say so", func() error { // it may have been replaced before it knew
		if r := n.Report(); r.Primary || r.Ready || !strings.Contains(r.Reason, "the disk does not answer") {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if s := c.nodes[old].Status(); !s.Disk.Stuck || s.Disk.StuckFor == "" {
		t.Errorf("its status says %+v", s.Disk)
	}
	if _, err := c.nodes[old].Put(t.Context(), []byte("b"), []byte("v"), node.Condition{}); !errors.Is(err, node.ErrNotApplied) {
		t.Errorf("a write at it: %v", err)
	}
	if at := c.write("c", "v"); at == old {
		t.Error("the hung node has acknowledged a write")
	}
	release()
	c.leader()
	c.sameState()
	if s := c.nodes[old].Status(); s.Disk.Stuck || s.Disk.Stalls == 0 {
		t.Errorf("after the stall: %+v", s.Disk)
	}
	for range cap(results) {
		if err := <-results; err != nil && !errors.Is(err, node.ErrUnknown) && !errors.Is(err, node.ErrNotApplied) {
			t.Errorf("a write that was in flight: %v", err)
		}
	}
}

// A write that waits behind a disk that hangs has not been in any log: it must be
// refused as not applied when the node falls silent, not when its time is over.
func TestWaitingWritesAreTurnedAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) {
		cfg.DiskTimeout, cfg.WriteTimeout = 300*time.Millisecond, 10*harness.Patience
	})
	n := c.nodes[0]
	release := n.HangLog()
	results := make(chan error, 64)
	for range cap(results) {
		go func() {
			_, err := n.Put(t.Context(), []byte("a"), make([]byte, 512<<10), node.Condition{}) // an entry for each
			results <- err
		}()
	}
	refused := 0
	for refused == 0 {
		select {
		case err := <-results:
			if !errors.Is(err, node.ErrNotApplied) || !errors.Is(err, node.ErrDiskStuck) && !errors.Is(err, node.ErrOverloaded) {
				t.Fatalf("ended with %v", err)
			}
			if errors.Is(err, node.ErrDiskStuck) {
				refused++
			}
		case <-time.After(harness.Patience):
			t.Fatal("none is turned away")
		}
	}
	release()
}

// A follower that stalls again and again gets what it has missed each time. See
// also TestPipelineEndsWithFirstFailure.
func TestStalledFollowerIsResumed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, stable, func(cfg *node.Config) { cfg.RPCTimeout = 200 * time.Millisecond })
	at := c.leader()
	l, f := c.nodes[at], c.nodes[c.others(at)[0]]
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = l.Put(context.Background(), fmt.Append(nil, w), fmt.Append(nil, i), node.Condition{}) // load, no more
			}
		})
	}
	defer writers.Wait()
	defer close(stop)
	for round := range 4 {
		release := f.HangLog()
		before := f.Report().Applied
		harness.Eventually(t, "the leader to go on without it", func() error {
			if now := l.Report().Applied; now < before+200 {
				return fmt.Errorf("applied %d of %d", now, before+200)
			}
			return nil
		})
		goal := l.Report().Applied
		<-time.After(500 * time.Millisecond) // more than an exchange may take
		release()
		harness.Eventually(t, "the follower to catch up", func() error {
			if now := f.Report().Applied; now < goal {
				return fmt.Errorf("round %d: it has %d, the leader had %d", round, now, goal)
			}
			return nil
		})
	}
}

// Leaders come and go while a follower's disk hangs, and heartbeats of several
// terms wait to be written when it answers. Its term must not go back.
func TestTermNeverGoesBack(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 5)
	l := c.leader()
	f := c.others(l)[0]
	release := c.nodes[f].HangLog()
	last := c.role(l, "").Term
	for range 4 {
		at := -1
		harness.Eventually(t, "a leader", func() error {
			for _, i := range c.others(f) {
				if c.nodes[i].Report().Primary {
					at = i
					return nil
				}
			}
			return errors.New("none")
		})
		last = c.role(at, "").Term
		c.stop(at)
		c.start(at)
	}
	hung, done := c.nodes[f], make(chan []uint64, 1)
	go func() {
		var terms []uint64
		for end := time.Now().Add(harness.Patience); time.Now().Before(end); {
			now := hung.Report().Term
			if len(terms) == 0 || terms[len(terms)-1] != now {
				terms = append(terms, now)
			}
			if now > last && hung.Report().Replica {
				break
			}
		}
		done <- terms
	}()
	release()
	terms := <-done
	if !slices.IsSorted(terms) {
		t.Errorf("its terms were %v", terms)
	}
	t.Log(terms)
	c.leader()
	c.sameState()
}
