package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// writers write unique keys through an address until stopped, each as fast as it
// is answered, and remember what became of every write.
type writers struct {
	c     *harness.Cluster
	front string
	stop  chan struct{}
	wg    sync.WaitGroup
	acked atomic.Int64 // so far, for those who wait for progress

	mu     sync.Mutex
	keys   []string         // acknowledged
	failed []harness.Answer // answers other than 200
	broken []error          // connections that broke
}

// startWriters starts n writers; stopAndWait must follow.
func startWriters(c *harness.Cluster, front string, n int) *writers {
	w := &writers{c: c, front: front, stop: make(chan struct{})}
	for id := range n {
		w.wg.Go(func() { w.run(id) })
	}
	return w
}

func (w *writers) run(id int) {
	for i := 0; ; i++ {
		select {
		case <-w.stop:
			return
		default:
		}
		key := fmt.Sprintf("w%d-%d", id, i)
		a, err := w.c.Try(http.MethodPut, "http://"+w.front+"/kv/"+key, key)
		w.mu.Lock()
		switch {
		case err != nil:
			w.broken = append(w.broken, fmt.Errorf("%s: %w", key, err))
		case a.Status != http.StatusOK:
			w.failed = append(w.failed, a)
		default:
			w.keys = append(w.keys, key)
			w.acked.Add(1)
		}
		w.mu.Unlock()
	}
}

func (w *writers) stopAndWait() {
	close(w.stop)
	w.wg.Wait()
}

// progress waits until n more writes have been acknowledged.
func (w *writers) progress(n int64) {
	w.c.T.Helper()
	from := w.acked.Load()
	harness.Eventually(w.c.T, "writes to go on", func() error {
		if now := w.acked.Load(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

// noneLost checks on every running node that each acknowledged write is there.
func (w *writers) noneLost(t *testing.T) {
	t.Helper()
	if len(w.keys) == 0 {
		t.Fatal("no write was acknowledged")
	}
	w.c.WaitSame()
	for _, p := range w.c.Nodes {
		if !p.Running() {
			continue
		}
		for _, key := range w.keys {
			// What the node has itself: it need not know a leader at this moment.
			a := w.c.Do(http.MethodGet, "http://"+p.HTTP+"/kv/"+key+"?consistency=eventual", "")
			if a.Body != fmt.Sprintf(`{"value":%q}`, key) {
				t.Fatalf("acknowledged write %s is lost on %s: %+v", key, p.Name, a)
			}
		}
	}
}

// onlyInDoubt checks that whatever failed was in flight to a node that died:
// answered as unknown, and no connection to a client broke. A writer may meet a
// dying process twice, since its kernel closes its connections one by one.
func (w *writers) onlyInDoubt(t *testing.T, most int) {
	t.Helper()
	for _, err := range w.broken {
		t.Errorf("a client's connection broke: %v", err)
	}
	for _, a := range w.failed {
		if (a.Status != 502 && a.Status != 504) || a.Header.Get("Dengine-Outcome") != "unknown" {
			t.Errorf("a write failed that was not in doubt: %+v", a)
		}
	}
	if len(w.failed) > 2*most {
		t.Errorf("%d writes failed, at most %d were in flight: %+v", len(w.failed), 2*most, w.failed)
	}
}
