package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// raft bounds the number of entries in one message, not their bytes: a follower
// that is 2,000 values of 1 MiB behind would never get through. The keys are few,
// so that the log is long and the state small; no snapshot shortens the way.
func TestFarBehindWithLargeValues(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, NodeArgs: []string{"--snapshot-threshold", "100000"}})
	behind := c.Followers()[0]
	behind.Kill()
	leader := c.Leader()
	const values, size = 2000, 1 << 20
	value := strings.Repeat("v", size-8)
	for i := range values {
		a := c.Do(http.MethodPut, "http://"+leader.HTTP+fmt.Sprint("/kv/k", i%8), fmt.Sprintf("%08d", i)+value)
		if a.Status != 200 {
			t.Fatalf("value %d: %+v", i, a)
		}
	}
	behind.Start()
	harness.Eventually(t, "the follower to have caught up", func() error {
		r, err := c.Role(behind)
		if err != nil || !r.Replica {
			return fmt.Errorf("%+v, %w", r, err)
		}
		return nil
	})
	sameState(c)
}
