package chaos

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// lookEvery is how often the processes of a round are looked at: half a minute of a
// process's life is enough to judge it.
const lookEvery = 500 * time.Millisecond

// lookTimeout is for one look: a process that hangs is looked at again when it goes on.
const lookTimeout = 2 * time.Second

// leakWatch looks at all processes of a cluster until it is stopped.
type leakWatch struct {
	http  *http.Client
	ended chan struct{}
	end   sync.Once
	wg    sync.WaitGroup

	mu    sync.Mutex
	lives []*life
}

// watchLeaks begins to look. stop ends it.
func watchLeaks(c *harness.Cluster, every time.Duration) *leakWatch {
	w := &leakWatch{http: &http.Client{Timeout: lookTimeout, Transport: new(http.Transport)}, ended: make(chan struct{})}
	for _, p := range c.All() {
		w.wg.Go(func() { w.follow(p, every) }) // each by itself: one that hangs holds up no other
	}
	return w
}

// stop ends the looking; it may be called again.
func (w *leakWatch) stop() {
	w.end.Do(func() { close(w.ended) })
	w.wg.Wait()
	w.http.CloseIdleConnections()
}

// judge gives the verdict of what was seen so far; see judgeLives.
func (w *leakWatch) judge() (notes, bad string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return judgeLives(w.lives)
}

// looks is how often the newest run of a process was looked at.
func (w *leakWatch) looks(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, pid := 0, 0
	for _, l := range slices.Backward(w.lives) {
		if l.name == name && (pid == 0 || l.pid == pid) {
			n, pid = n+len(l.looks), l.pid
		}
	}
	return n
}

func (w *leakWatch) follow(p *harness.Process, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.ended:
			return
		}
		if !p.Running() {
			continue
		}
		pid := p.PID()
		if h, err := w.look(p.Health); err == nil && p.Running() && p.PID() == pid {
			w.note(p.Name, pid, h)
		}
	}
}

// note adds a look to the life that it is of. A leader has more to hold than a
// follower, and the lead goes to and fro: each is a life by itself.
func (w *leakWatch) note(name string, pid int, h holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range slices.Backward(w.lives) {
		if l.name == name && l.pid == pid && l.leads == h.leads {
			l.looks = append(l.looks, h)
			return
		}
	}
	w.lives = append(w.lives, &life{name: name, pid: pid, leads: h.leads, looks: []holding{h}})
}

// look reads what a process holds from its metrics.
func (w *leakWatch) look(addr string) (h holding, err error) {
	resp, err := w.http.Get("http://" + addr + "/metrics")
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	wanted := map[string]*float64{
		"go_goroutines": &h.goroutines, "process_open_fds": &h.files,
		"go_gc_heap_live_bytes": &h.live, "process_resident_memory_bytes": &h.resident,
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		h.leads = h.leads || name == "dengine_node_leader" && value == "1"
		if into := wanted[name]; into != nil {
			if *into, err = strconv.ParseFloat(value, 64); err != nil {
				return h, fmt.Errorf("%s: %w", name, err)
			}
			delete(wanted, name)
		}
	}
	if len(wanted) > 0 {
		return h, fmt.Errorf("%s lacks %d of the metrics that tell of leaks", addr, len(wanted))
	}
	return h, nil
}
