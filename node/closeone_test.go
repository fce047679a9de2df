package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/node"
)

// A plain stop of a cluster of one node answers what is in flight.
func TestCloseOfOneNodeAnswersWhatIsInFlight(t *testing.T) {
	c := startCluster(t, 1, steady)
	n := c.nodes[0]
	c.nodes[0] = nil
	var wg sync.WaitGroup
	var written, unknown atomic.Int64
	for i := range 32 {
		wg.Go(func() {
			for { // until the node is closed
				_, err := n.Put(context.Background(), fmt.Append(nil, "k", i), []byte("v"), node.Condition{})
				if errors.Is(err, node.ErrUnknown) {
					unknown.Add(1)
				}
				if err != nil {
					return
				}
				written.Add(1)
			}
		})
	}
	harness.Eventually(t, "writes", func() error {
		if n := written.Load(); n < 500 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := unknown.Load(); n > 0 {
		t.Errorf("%d writes of 32 ended as unknown, on a healthy node that was stopped", n)
	}
}
