package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// Every read through a balancer sees every write that it has answered, at the
// weakest level and with a follower whose disk is slow. Without the setting this
// test can see that they do not.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{NoLB: true, Faults: true})
	args := []string{"--log-format", "json"}
	for _, n := range c.Nodes {
		args = append(args, "--backend", "id="+n.Name+",http="+n.HTTP+",health="+n.Health)
	}
	slow := c.Followers()[0]
	slow.Fault("slow 100ms")
	for _, own := range []bool{true, false} {
		front, admin := freeAddr(t), freeAddr(t)
		start(t, append(args, "--listen", front, "--admin", admin, "--read-your-writes="+strconv.FormatBool(own))...)
		eventually(t, "three nodes to read from", func() bool {
			s, err := status(admin)
			ready := 0
			for _, be := range s.Backends {
				if be.Ready {
					ready++
				}
			}
			return err == nil && ready == 3 && s.Leader != ""
		})
		stale := staleReads(c, front)
		t.Logf("read-your-writes %v: %d reads did not see what was written", own, len(stale))
		if own && len(stale) > 0 {
			t.Errorf("%d reads did not see what was written, the first: %s", len(stale), stale[0])
		}
		if !own && len(stale) == 0 {
			t.Errorf("every read saw what was written without the setting: this test sees nothing")
		}
		s, err := status(admin)
		if err != nil || own != (s.Written > 0) {
			t.Errorf("/status: %+v, %v", s, err)
		}
	}
	slow.Fault("")
}

// staleReads has clients write ever larger numbers, each to a key of its own, and
// read everybody's, and returns the reads that did not see an acknowledged write.
func staleReads(c *harness.Cluster, front string) (stale []string) {
	const clients, rounds, reads = 4, 40, 3
	url := func(key int) string { return fmt.Sprintf("http://%s/kv/%d", front, key) }
	var acked [clients]atomic.Int64
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		stale = append(stale, fmt.Sprintf(format, args...))
	}
	var wg sync.WaitGroup
	for id := range clients {
		wg.Go(func() {
			for i := int64(1); i <= rounds; i++ {
				if a, err := c.Try("PUT", url(id), strconv.FormatInt(i, 10)); err != nil || a.Status != 200 {
					c.T.Errorf("PUT: %+v, %v", a, err)
					return
				}
				acked[id].Store(i)
				for n := range reads {
					key := id // the own first
					if n > 0 {
						key = rand.IntN(clients)
					}
					least := acked[key].Load()
					a, err := c.Try("GET", url(key)+"?consistency=eventual", "")
					var v struct {
						Value int64 `json:",string"`
					}
					if err != nil || a.Status != 404 && json.Unmarshal([]byte(a.Body), &v) != nil {
						c.T.Errorf("GET: %+v, %v", a, err)
					} else if v.Value < least {
						note("%s has %d of key %d at index %s, and %d was acknowledged", a.Header.Get("Dengine-Node"), v.Value, key, a.Header.Get("Dengine-Index"), least)
					}
				}
			}
		})
	}
	wg.Wait()
	return stale
}
