package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// raft goes on answering heartbeats while a follower's disk hangs; /replica must
// not say that all is well.
func TestFollowerWithHungDiskIsNoReplica(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
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
