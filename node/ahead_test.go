package node_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// tooEarly is how long is watched for something that must not happen; it would take
// about a millisecond.
const tooEarly = 300 * time.Millisecond

// patientWithDisks has a leader stay one while its disk hangs, on a slow machine too.
func patientWithDisks(cfg *node.Config) {
	steady(cfg)
	cfg.DiskTimeout = 10 * harness.Patience
}

// A leader sends an entry before it has it on disk itself, and acknowledges nothing
// before it has: the disk of one follower is no majority of three.
func TestLeaderRunsAheadOfItsDiskAndAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patientWithDisks)
	l := c.leader()
	f, down := c.others(l)[0], c.others(l)[1]
	if w := c.do("PUT", c.api(l, "/kv/a"), "v"); w.status != 200 {
		t.Fatalf("%+v", w)
	}
	c.stop(down)
	before := c.nodes[l].Report().Applied
	release := sync.OnceFunc(c.nodes[l].HangLog())
	defer release()
	n, wrote := c.nodes[l], make(chan error, 1)
	go func() {
		_, err := n.Put(t.Context(), []byte("b"), []byte("v"), node.Condition{})
		wrote <- err
	}()
	harness.Eventually(t, "the follower to have the entry on disk, and the leader its answer", func() error {
		if have, heard := c.nodes[f].Logged(), c.nodes[l].Heard(c.configs[f].ID); have <= before || heard <= before {
			return fmt.Errorf("%d entries, and %d by what the leader heard", have, heard)
		}
		return nil
	})
	select {
	case err := <-wrote:
		t.Fatalf("the write was answered (%v) while one disk of three had it", err)
	case <-time.After(tooEarly):
	}
	if now := c.nodes[l].Report().Applied; now != before {
		t.Errorf("the leader has applied %d, up to %d may be committed", now, before)
	}
	release()
	if err := <-wrote; err != nil {
		t.Errorf("the write, once the disk answers: %v", err)
	}
	c.start(down)
	c.leader()
	c.sameState()
}

// A leader that becomes the only voter commits alone: that, and all before it, waits
// for its disk.
func TestLeaderThatBecomesTheOnlyVoterWaitsForItsDisk(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, patientWithDisks)
	l := c.leader()
	n, other := c.nodes[l], c.configs[c.others(l)[0]].ID
	if err := n.Demote(c.configs[c.others(l)[1]].ID); err != nil {
		t.Fatal(err)
	}
	release := sync.OnceFunc(n.HangLog())
	defer release()
	demoted, wrote := make(chan error, 1), make(chan error, 1)
	go func() { demoted <- n.Demote(other) }()
	go func() {
		_, err := n.Put(t.Context(), []byte("a"), []byte("v"), node.Condition{})
		wrote <- err
	}()
	select {
	case err := <-demoted:
		t.Fatalf("the other one is demoted (%v), and that is on no disk of the only voter", err)
	case err := <-wrote:
		t.Fatalf("the write was answered (%v), and is on no disk of a voter", err)
	case <-time.After(tooEarly):
	}
	release()
	for _, done := range []chan error{demoted, wrote} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// The only node of a cluster commits alone too.
func TestOnlyNodeWaitsForItsDisk(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, patientWithDisks)
	release := sync.OnceFunc(c.nodes[0].HangLog())
	defer release()
	n, wrote := c.nodes[0], make(chan error, 1)
	go func() {
		_, err := n.Put(t.Context(), []byte("a"), []byte("v"), node.Condition{})
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("the write was answered (%v), and is on no disk", err)
	case <-time.After(tooEarly):
	}
	release()
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
