package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/dengine/dengine/internal/once"
)

// Profile is how much a load does. All numbers must be positive unless it says otherwise.
type Profile struct {
	Keys      int      // registers
	Balancer  int      // clients of the balancer
	Direct    int      // clients of each node
	PerSecond int      // acts of all clients together, at most: one request, or a few that belong together, whose answers are waited for
	Only      []string // of Workloads; all of them where it is empty
	// Reconnect is the share of clients that close their connection after each
	// act, one of so many; 0: none does.
	Reconnect int
}

// DefaultProfile is enough for 300 operations a second, though what followers
// refuse is none.
func DefaultProfile() Profile {
	return Profile{Keys: 24, Balancer: 6, Direct: 3, PerSecond: 900, Reconnect: 4}
}

// answerTimeout is for one request: longer than a read or an election takes, and
// short enough that a client does not miss the next fault.
const answerTimeout = 5 * time.Second

// load is what clients do, until stop, and what became of it.
type load struct {
	p         Profile
	promise   Promise
	prefix    string // of keys: rounds on one cluster begin with keys of their own
	workloads []plied
	front     *place   // the first target: the balancer
	nodes     []*place // the others
	begin     time.Time
	ended     chan struct{}
	ending    sync.Once
	wg        sync.WaitGroup

	mu    sync.Mutex
	ids   int // given to clients so far
	ops   []Op
	tally tally
}

// tally counts what did not become an operation, or no certain one.
type tally struct {
	unknown int
	reasons map[string]int
}

// target is whom clients talk to.
type target struct {
	name, addr string
	clients    int
}

// newLoad prepares a load; start starts it.
func newLoad(p Profile, promise Promise, prefix string) *load {
	l := &load{p: p, promise: promise, prefix: prefix, ended: make(chan struct{}), tally: tally{reasons: map[string]int{}}}
	l.workloads = l.chosen()
	return l
}

// start sends the load; the first target is the balancer. A client's choices follow
// from the seed and its number; how they fall together with others' does not.
func (l *load) start(seed uint64, targets []target) {
	l.begin, l.front = time.Now(), newPlace(targets[0])
	all := 0
	for _, t := range targets {
		all += t.clients
	}
	pause := time.Duration(all) * time.Second / time.Duration(l.p.PerSecond)
	n := uint64(0)
	for i, t := range targets {
		if i > 0 {
			l.nodes = append(l.nodes, newPlace(t))
		}
		for range t.clients {
			n++
			c := l.newClientAt(newPlace(t), random(seed, n))
			for _, w := range l.workloads {
				c.parts = append(c.parts, part{w.share, w.join(c)})
			}
			act := c.act
			if l.p.Reconnect > 0 && n%uint64(l.p.Reconnect) == 0 {
				act = func() {
					c.act()
					c.here.Close()
				}
			}
			l.wg.Go(func() {
				defer c.here.Close()
				l.pace(between(c.random, 0, pause), pause, act)
			})
		}
	}
}

// pace calls act at intervals, the first time after a wait, until the load ends.
// What takes longer is not made up for.
func (l *load) pace(wait, interval time.Duration, act func()) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-timer.C:
		}
		due := time.Now().Add(interval)
		act()
		timer.Reset(time.Until(due))
	}
}

// newPlace is a target with connections of its own.
func newPlace(t target) *place {
	return &place{name: t.name, Client: once.Client{Addr: t.addr, Timeout: answerTimeout}}
}

func (l *load) newClientAt(at *place, r *rand.Rand) *client {
	return &client{l: l, here: at, id: l.newClient(), random: r}
}

// stop ends the load and waits for every answer. It may be called again.
func (l *load) stop() {
	l.ending.Do(func() { close(l.ended) })
	l.wg.Wait()
	if l.front == nil { // it was never started
		return
	}
	for _, p := range append(slices.Clone(l.nodes), l.front) {
		p.Close()
	}
}

func (l *load) newClient() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	return l.ids
}

// since is the time of the history.
func (l *load) since() time.Duration { return time.Since(l.begin) }

// operations are how many there are so far.
func (l *load) operations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ops)
}

// lacks is an error that says how many operations are missing, where there are
// fewer than want.
func (l *load) lacks(want int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := len(l.ops); now < want {
		return fmt.Errorf("%d of %d; what failed so far: %v", now, want, l.tally.reasons)
	}
	return nil
}

// note adds an operation to the history.
func (l *load) note(o Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, o)
}

// fail counts a request that did not succeed.
func (l *load) fail(o Op, a once.Answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := "write"
	switch {
	case o.Kind == Read, o.Kind == Scan:
		what = "read"
	case o.Result == Unknown:
		l.tally.unknown++
	case a.Code() == "not_leader":
		return // what followers say of every write
	}
	if errors.Is(err, once.ErrNotSent) {
		what += ", not sent"
	}
	l.tally.reasons[what+": "+once.Reason(a, err)]++
}
