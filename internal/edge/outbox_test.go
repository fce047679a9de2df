package edge

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// Whoever sends, and however little goes out at once: every frame goes out once, whole,
// and those of one sender in their order.
func TestOutboxSendsEveryFrameOnce(t *testing.T) {
	t.Parallel()
	const senders, each = 4, 500
	var got bytes.Buffer
	var busy sync.Mutex
	all := make(chan struct{}) // what goes out ends with the last frame
	last := appendFrame(nil, senders, []byte("last"))
	take := func(p []byte) {
		if !busy.TryLock() {
			t.Error("two send at once")
			return
		}
		defer busy.Unlock()
		if got.Write(p); bytes.HasSuffix(got.Bytes(), last) {
			close(all)
		}
	}
	calls := 0
	o := NewOutbox(func(p []byte) error { take(p); return nil })
	some := func(p []byte) (int, error) {
		calls++
		n := len(p) * (calls % 4) / 3 // nothing, parts, or all
		n = min(n, len(p))
		take(p[:n])
		return n, nil
	}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				m := fmt.Appendf(nil, "%d-%d", s, i)
				if s > 0 { // only one may flush
					o.Put(uint32(s), m)
					continue
				}
				if o.Leave(0, m); i%3 == 0 {
					o.Flush(some)
				}
			}
		})
	}
	wg.Wait()
	o.Put(senders, []byte("last")) // takes with it what was left
	<-all
	next := make([]int, senders)
	r := NewFrameReader(&got)
	for {
		place, m, err := NextFrame(r)
		if err != nil {
			t.Fatalf("before the last frame: %v; of each sender came %v", err, next)
		}
		if place == senders {
			break
		}
		if want := fmt.Sprintf("%d-%d", place, next[place]); string(m) != want {
			t.Fatalf("came %q, want %q", m, want)
		}
		next[place]++
	}
	for s, n := range next {
		if n != each {
			t.Errorf("%d frames of sender %d", n, s)
		}
	}
}
