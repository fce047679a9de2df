package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

// A plain stop of a cluster of one node answers what is in flight.
func TestCloseOfOneNodeAnswersWhatIsInFlight(t *testing.T) {
	c := startCluster(t, 1)
	n := c.nodes[0]
	c.nodes[0] = nil
	var wg sync.WaitGroup
	var mu sync.Mutex
	unknown, stop := 0, make(chan struct{})
	for i := range 32 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := n.Put(context.Background(), fmt.Append(nil, "k", i), []byte("v"), node.Condition{})
				if errors.Is(err, node.ErrUnknown) {
					mu.Lock()
					unknown++
					mu.Unlock()
				}
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	if unknown > 0 {
		t.Errorf("%d writes of 32 ended as unknown, on a healthy node that was stopped", unknown)
	}
}
