package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// field is a cluster as nemeses find it. Two may strike at once, the same node
// perhaps: it knows who keeps which node down, so that each puts right what it has
// hurt and nothing else.
type field struct {
	t harness.T
	c *harness.Cluster

	folders sync.Mutex // held by who changes a data folder: one at a time

	mu       sync.Mutex
	down     map[*harness.Process]int  // by how many it is kept from running
	still    map[*harness.Process]int  // by how many it is stopped
	failing  map[*harness.Process]bool // its disk failed once: it may have ended by itself
	findings []string                  // what no fault explains
}

func newField(t harness.T, c *harness.Cluster) *field {
	return &field{
		t: t, c: c, down: map[*harness.Process]int{}, still: map[*harness.Process]int{}, failing: map[*harness.Process]bool{},
	}
}

// Looking at a cluster that is not whole.
const (
	askTime    = 300 * ms // for one answer of a node
	leaderTime = time.Second
	lookPause  = 20 * ms
	settleTime = 10 * time.Second // for a node to come back
)

// within polls until done, for limit at most, and says whether it came to that.
func within(limit time.Duration, done func() bool) bool {
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for end := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// leader is the node that leads; where none is found in time, any node.
func (f *field) leader(d *dice) *harness.Process {
	var leader *harness.Process
	within(leaderTime, func() bool {
		term := uint64(0)
		for _, p := range f.awake() {
			if r, err := f.c.RoleWithin(p, askTime); err == nil && r.Primary && r.Term >= term {
				leader, term = p, r.Term
			}
		}
		return leader != nil
	})
	if leader == nil {
		return f.any(d)
	}
	return leader
}

// awake are the nodes that run and can answer.
func (f *field) awake() []*harness.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.c.Nodes), func(p *harness.Process) bool { return !p.Running() || f.still[p] > 0 })
}

// any is a node that runs; where none does, one that does not.
func (f *field) any(d *dice) *harness.Process {
	if awake := f.awake(); len(awake) > 0 {
		return awake[d.IntN(len(awake))]
	}
	return f.c.Nodes[d.IntN(len(f.c.Nodes))]
}

// leaderOrAny is the leader every other time, the first one included.
func (f *field) leaderOrAny(d *dice) *harness.Process {
	d.turn++
	if d.turn%2 == 1 {
		return f.leader(d)
	}
	return f.any(d)
}

// others are the names of all nodes but one, in the order of the cluster.
func (f *field) others(name string) []string {
	var out []string
	for _, p := range f.c.Nodes {
		if p.Name != name {
			out = append(out, p.Name)
		}
	}
	return out
}

// minority is how many nodes may fail.
func (f *field) minority() int { return (len(f.c.Nodes) - 1) / 2 }

// keepDown ends nodes and keeps them down until up is called.
func (f *field) keepDown(end func(*harness.Process), nodes ...*harness.Process) (up func()) {
	f.mu.Lock()
	for _, p := range nodes {
		f.down[p]++
	}
	f.mu.Unlock()
	for _, p := range nodes {
		end(p)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range nodes {
			f.down[p]--
			if f.down[p] == 0 && !p.Running() {
				p.Start()
			}
		}
	}
}

// isDown says that a node is kept from running.
func (f *field) isDown(p *harness.Process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down[p] > 0
}

// stop stops a node as if its host hung, until it goes on.
func (f *field) stop(p *harness.Process) (goOn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.still[p]++
	p.Signal(syscall.SIGSTOP)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.still[p]--; f.still[p] == 0 {
			p.Signal(syscall.SIGCONT)
		}
	}
}

// mend starts nodes that have ended by themselves, and notes where no fault
// explains that. It returns an error while a node is not to run.
func (f *field) mend() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, p := range f.c.Nodes {
		switch {
		case p.Running():
		case f.down[p] > 0:
			errs = append(errs, fmt.Errorf("%s is kept down", p.Name))
		default:
			if said := p.Said(); !f.failing[p] || panicked(said) {
				f.findings = append(f.findings, fmt.Sprintf("%s ended by itself: %s", p.Name, lastLine(said)))
			}
			p.Start()
		}
	}
	return errors.Join(errs...)
}

// whole waits until every node runs and the cluster serves.
func (f *field) whole() {
	f.t.Helper()
	harness.Eventually(f.t, "a cluster that is whole", func() error {
		if err := f.mend(); err != nil {
			return err
		}
		f.c.WaitReady()
		for _, p := range f.c.Nodes {
			if !p.Running() {
				return fmt.Errorf("%s has ended: %s", p.Name, lastLine(p.Said()))
			}
		}
		return nil
	})
}

// find notes what a nemesis has seen that must not be.
func (f *field) find(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.findings = append(f.findings, fmt.Sprintf(format, args...))
}

// finding is the first, "" where there is none.
func (f *field) finding() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.findings) == 0 {
		return ""
	}
	return f.findings[0]
}

// panicked says that a Go program ended by a panic, or by an error of its runtime.
func panicked(log string) bool {
	for line := range strings.Lines(log) {
		for _, start := range []string{"panic: ", "fatal error: ", "unexpected fault address", "SIGSEGV: ", "SIGBUS: "} {
			if strings.HasPrefix(line, start) {
				return true
			}
		}
	}
	return false
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
