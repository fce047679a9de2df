package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// raft bounds the number of entries in one message, not their bytes: a follower
// that is hundreds of values of 1 MiB behind would be sent 64 of them at a time. The
// keys are few, so that the log is long and the state small; no snapshot shortens the
// way. More values show nothing more, and take the disk from the tests beside this one.
func TestFarBehindWithLargeValues(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: []string{"--snapshot-threshold", "100000"}})
	behind := c.Followers()[0]
	behind.Kill()
	const size = 1 << 20
	values := 400
	if harness.Race { // ten times as slow, and not about races
		values = 100
	}
	value := strings.Repeat("v", size-8)
	start := time.Now()
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := w; i < values; i += 8 {
				c.Put(fmt.Sprint("k", w), fmt.Sprintf("%08d", i)+value)
			}
		})
	}
	writers.Wait()
	t.Logf("%d values of %d bytes written in %v", values, size, time.Since(start))
	start = time.Now()
	behind.Start()
	harness.Eventually(t, "the follower to have caught up", func() error {
		r, err := c.Role(behind)
		if err != nil || !r.Replica {
			return fmt.Errorf("%+v, %w", r, err)
		}
		return nil
	})
	c.WaitSame()
	t.Logf("caught up in %v", time.Since(start))
}
