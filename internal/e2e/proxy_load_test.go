package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

const loadWriters, loadReaders = 4, 2

// load is a steady flow of writes of new keys, and of reads, through the proxy.
type load struct {
	c     *harness.Cluster
	acked atomic.Int64
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu     sync.Mutex
	keys   map[string]bool  // every key that was sent; true where acknowledged
	writes []harness.Answer // of writes, other than 200
	reads  []harness.Answer // of reads, other than 404: the key is not there
	broken []error
}

func startLoad(c *harness.Cluster) *load {
	l := &load{c: c, done: make(chan struct{}), keys: map[string]bool{}}
	for id := range loadWriters + loadReaders {
		l.wg.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-l.done:
					return
				case <-pace.C:
				}
				if id < loadWriters {
					l.write(fmt.Sprintf("load-%d-%d", id, i))
				} else {
					l.read()
				}
			}
		})
	}
	return l
}

func (l *load) write(key string) {
	a, err := l.c.Try(http.MethodPut, "http://"+proxyFront+"/kv/"+key, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[key] = err == nil && a.Status == 200
	switch {
	case err != nil:
		l.broken = append(l.broken, err)
	case a.Status != 200:
		l.writes = append(l.writes, a)
	default:
		l.acked.Add(1)
	}
}

func (l *load) read() {
	a, err := l.c.Try(http.MethodGet, "http://"+proxyFront+"/kv/nothing", "")
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.broken = append(l.broken, err)
	} else if a.Status != 404 {
		l.reads = append(l.reads, a)
	}
}

func (l *load) stop() {
	l.once.Do(func() { close(l.done) })
	l.wg.Wait()
}

func (l *load) progress(n int64) {
	l.c.T.Helper()
	from := l.acked.Load()
	harness.Eventually(l.c.T, "writes through the proxy", func() error {
		if now := l.acked.Load(); now < from+n {
			l.mu.Lock()
			defer l.mu.Unlock()
			last := harness.Answer{}
			if len(l.writes) > 0 {
				last = l.writes[len(l.writes)-1]
			}
			return fmt.Errorf("%d of %d; the last failure was %+v", now-from, n, last)
		}
		return nil
	})
}

// saidWhatBecameOfThem: a write that failed was not applied (503), or was in
// flight when the leader died (502, 504). A writer may meet a dying process
// twice, since its kernel closes its connections one by one.
func (l *load) saidWhatBecameOfThem(t harness.T) {
	t.Helper()
	inDoubt := len(l.broken)
	for _, a := range l.writes {
		outcome := a.Header.Get("Dengine-Outcome")
		switch {
		case a.Status == 503 && outcome == "not-applied":
		case (a.Status == 502 || a.Status == 504) && outcome == "unknown":
			inDoubt++
		default:
			t.Errorf("a failed write does not say what became of it: %+v", a)
		}
		if !strings.HasPrefix(a.Body, `{"error":"`) || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("not the nodes' way to refuse: %+v", a)
		}
	}
	if inDoubt > 2*loadWriters {
		t.Errorf("%d writes in doubt, at most %d were in flight", inDoubt, 2*loadWriters)
	}
}
