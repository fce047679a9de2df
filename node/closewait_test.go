package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A read that waits for an index must not hold up a node that is being closed.
func TestCloseEndsReadsThatWait(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.ReadTimeout = time.Minute })
	n := c.nodes[0]
	done := make(chan error, 1)
	go func() {
		_, err := n.Get(context.Background(), []byte("a"), node.ReadOptions{Level: node.Eventual, MinIndex: 1 << 40})
		done <- err
	}()
	harness.Eventually(t, "the read to wait", func() error {
		if !n.Waits() {
			return errors.New("not yet")
		}
		return nil
	})
	c.stop(0)
	select {
	case err := <-done:
		if !errors.Is(err, node.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(harness.Patience):
		t.Error("it waits still")
	}
}

// A node that is being closed says so, whatever the read asks for: a balancer then
// asks another one.
func TestReadsOfAClosedNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	n := c.nodes[0]
	c.stop(0)
	for _, o := range []node.ReadOptions{
		{Level: node.Linearizable}, {Level: node.Lease},
		{Level: node.Eventual, MaxStaleness: 1}, {Level: node.Eventual, MinIndex: 1 << 40},
	} {
		if _, err := n.Get(context.Background(), []byte("a"), o); !errors.Is(err, node.ErrClosed) || errors.Is(err, node.ErrTooStale) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
