package failover

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/once"
)

// answerTimeout is for one request; longer than anything holds a write.
const answerTimeout = 2 * time.Minute

// Profile is how much a load does. All must be positive.
type Profile struct {
	Writes   int `json:"writes_per_second"` // three of four put a key of its own, the fourth increments a counter
	Reads    int `json:"reads_per_second"`  // of keys that were acknowledged
	InFlight int `json:"in_flight"`         // writes at once, most; what arrives beyond is not sent but counted
	Salvo    int `json:"salvo"`             // writes more at the moment of a fault, so that enough are in flight then
	Counters int `json:"counters"`
	Value    int `json:"value_bytes"`
}

// DefaultProfile is the benchmark's.
func DefaultProfile() Profile {
	return Profile{Writes: 400, Reads: 100, InFlight: 4096, Salvo: 24, Counters: 64, Value: 256}
}

// Load writes and reads by the clock, however long the answers take, until Stop.
type Load struct {
	ledger
	p      Profile
	c      once.Client
	flying atomic.Int64 // writes in flight
	due    []chan time.Time
	stop   chan struct{}
	once   sync.Once
	pacers sync.WaitGroup
	wg     sync.WaitGroup // requests, and the counters' goroutines
}

// NewLoad prepares a load; Start starts it.
func NewLoad(p Profile) *Load {
	l := &Load{p: p, stop: make(chan struct{})}
	for range p.Counters {
		l.due = append(l.due, make(chan time.Time, p.InFlight+p.Salvo)) // never full: InFlight bounds all together
	}
	return l
}

// Start sends the load to a front, host:port.
func (l *Load) Start(front string) {
	l.c.Addr, l.c.Timeout, l.begin = front, answerTimeout, time.Now()
	for id, due := range l.due {
		l.wg.Go(func() { l.count(id, due) })
	}
	l.pacers.Go(func() { l.pace(l.p.Writes, l.arrive) })
	l.pacers.Go(func() { l.pace(l.p.Reads, l.look) })
}

// Stop ends the load and waits for every answer. It may be called again.
func (l *Load) Stop() {
	l.once.Do(func() {
		close(l.stop)
		l.pacers.Wait()
		for _, due := range l.due {
			close(due)
		}
	})
	l.wg.Wait()
	l.c.Close()
}

// pace calls each for every arrival at its time, and those that are overdue at
// once: an open loop, which does not wait for answers.
func (l *Load) pace(perSecond int, each func(n int, due time.Time)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		due := l.begin.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		timer.Reset(time.Until(due))
		select {
		case <-l.stop:
			return
		case <-timer.C:
			each(n, due)
		}
	}
}

// arrive is one write that is due.
func (l *Load) arrive(n int, due time.Time) {
	if l.flying.Load() >= int64(l.p.InFlight) {
		l.shed()
		return
	}
	l.flying.Add(1)
	if n%4 == 3 {
		l.due[n/4%l.p.Counters] <- due
		return
	}
	l.wg.Go(func() { l.putOne(due) })
}

// Salvo sends the profile's salvo of writes and returns how many writes are in
// flight then.
func (l *Load) Salvo() int {
	now := time.Now()
	flying := l.flying.Add(int64(l.p.Salvo))
	for range l.p.Salvo {
		l.wg.Go(func() { l.putOne(now) })
	}
	return int(flying)
}

func (l *Load) putOne(due time.Time) {
	defer l.flying.Add(-1)
	key := l.newPut()
	a, err := l.c.Do(http.MethodPut, "/kv/"+putKey(key), value(putKey(key), l.p.Value))
	l.put(key, due, a, err)
}

// count increments one counter, one after the other, as they are due.
func (l *Load) count(id int, due <-chan time.Time) {
	generation := 0
	var c *counter
	for at := range due {
		if c == nil {
			c = l.newCounter(fmt.Sprintf("c%d-%d", id, generation))
			generation++
		}
		condition := []string{"If-None-Match", "*"}
		if c.etag != "" {
			condition = []string{"If-Match", c.etag}
		}
		a, err := l.c.Do(http.MethodPut, "/kv/"+c.key, value(fmt.Sprint(c.acked+1), l.p.Value), condition...)
		if !l.increment(c, at, a, err) {
			c = nil
		}
		l.flying.Add(-1)
	}
}

// look is one read that is due.
func (l *Load) look(n int, _ time.Time) {
	key, ok := l.acknowledged(n * 7919) // a prime: all over the keys, the newest among them
	if !ok {
		return
	}
	l.wg.Go(func() { l.read(l.c.Do(http.MethodGet, "/kv/"+putKey(key), nil)) })
}
