package launcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

// watchChecks are the checks of the launcher's own watchers: everything is on
// this machine, so asking ten times a second costs nothing.
func watchChecks() healthcheck.Checks {
	c := healthcheck.DefaultChecks()
	c.Interval = 100 * time.Millisecond
	return c
}

var errTooSlow = errors.New("the time to get ready is over")

// cluster is the running processes and what is known of them.
type cluster struct {
	cfg       Config
	plan      Plan
	temporary bool
	log       *zap.Logger
	tell      func(Event)
	began     time.Time

	spawner  *spawner
	children []*child // nodes in order, then the balancer
	monitor  *monitor
	prober   *prober

	startFailed chan *StartError // the first process that ends during the start
	downAsked   chan struct{}    // closed when "down" came
	askDown     func()
	stopping    context.Context // ends when the end begins
	beginStop   context.CancelFunc
	gone        chan struct{} // closed when every process has ended

	watching sync.WaitGroup
	watched  context.Context // ends when no role is followed any more
	unwatch  context.CancelFunc

	mu    sync.Mutex
	ready bool
}

func newCluster(cfg Config, plan Plan, temporary bool, tell func(Event), log *zap.Logger) *cluster {
	c := &cluster{
		cfg: cfg, plan: plan, temporary: temporary, log: log, tell: tell, began: time.Now(),
		spawner:     newSpawner(),
		prober:      newProber(),
		startFailed: make(chan *StartError, 1),
		downAsked:   make(chan struct{}),
		gone:        make(chan struct{}),
	}
	c.askDown = sync.OnceFunc(func() { close(c.downAsked) })
	c.stopping, c.beginStop = context.WithCancel(context.Background())
	c.watched, c.unwatch = context.WithCancel(context.Background())
	var ids []string
	for _, n := range plan.Nodes {
		ids = append(ids, n.Name)
		follow := c.follows(n)
		c.add(n.Process,
			func() {
				follow()
				c.monitor.with(func(t *tracker, now time.Time) []Event { return t.started(now, n.Name) })
			},
			func(e ended) {
				c.monitor.with(func(t *tracker, _ time.Time) []Event { return t.ended(n.Name, e) })
			})
	}
	if f := plan.Front; f != nil {
		c.add(f.Process,
			func() {
				c.tellFront(Event{Time: time.Now(), Kind: EventStart, Node: f.Name, Message: f.Name + " was started"})
			},
			func(e ended) { c.tellFront(exitEvent(f.Name, e)) })
	}
	c.monitor = newMonitor(ids, tell)
	return c
}

func (c *cluster) add(p Process, onStart func(), onEnd func(ended)) {
	c.children = append(c.children, &child{
		proc: p, spawner: c.spawner, logs: newRing(), log: c.log,
		onStart: onStart,
		onEnd: func(e ended) {
			if !c.isReady() && e.why == askedNothing {
				select {
				case c.startFailed <- &StartError{p.Name, e.verb() + " while starting", e.tail}:
				default: // another one was first
				}
			}
			onEnd(e)
		},
	})
}

// tellFront tells news of the balancer, which are none while everything starts
// or ends.
func (c *cluster) tellFront(e Event) {
	if c.isReady() && c.stopping.Err() == nil {
		c.tell(e)
	}
}

// start brings everything up and returns when it serves. Whatever it returns,
// stop must follow.
func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Wait, errTooSlow)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	wait := make(chan struct{})
	defer func() { fail(nil); <-wait }()
	go func() {
		defer close(wait)
		select {
		case e := <-c.startFailed:
			fail(e)
		case <-c.downAsked:
			fail(context.Canceled)
		case <-ctx.Done():
		}
	}()

	c.watching.Go(func() { c.monitor.run(c.watched) })
	for _, ch := range c.children {
		if _, err := ch.start(); err != nil {
			return err
		}
	}
	leader, term, err := c.awaitReady(ctx)
	if err != nil {
		var failed *StartError
		if errors.As(context.Cause(ctx), &failed) {
			return failed
		}
		return err
	}
	c.announce(leader, term)
	return nil
}

// awaitReady returns when all nodes agree and clients can read and write. The leader
// is the one against whom changes are told from now on.
func (c *cluster) awaitReady(ctx context.Context) (leader string, term uint64, err error) {
	var missing string
	err = c.monitor.await(ctx, func(nodes []view) bool {
		leader, term, missing = agreement(nodes)
		return missing == ""
	})
	if err != nil {
		return "", 0, c.notReady(err, missing)
	}
	if err := until(ctx, func(ctx context.Context) error { return c.frontServes(ctx, leader) }); err != nil {
		return "", 0, c.notReady(err, "")
	}
	c.mu.Lock()
	c.ready = true
	c.mu.Unlock()
	c.monitor.with(func(t *tracker, _ time.Time) []Event {
		t.ready(leader, term)
		leader, term = t.leader, t.term
		return nil
	})
	return leader, term, nil
}

// frontServes is nil once clients can read and write where they will be sent.
func (c *cluster) frontServes(ctx context.Context, leader string) error {
	f := c.plan.Front
	if f == nil {
		return c.prober.serves(ctx, c.plan.node(leader).HTTP)
	}
	if f.Kind == BalancerDengine {
		if err := c.prober.answers(ctx, "http://"+f.Admin+healthcheck.PathReady); err != nil {
			return fmt.Errorf("the balancer is not ready: %w", err)
		}
	}
	return c.prober.serves(ctx, f.HTTP)
}

func (c *cluster) notReady(err error, missing string) error {
	if !errors.Is(err, errTooSlow) {
		return err
	}
	if missing == "" {
		missing = err.Error()
	}
	return fmt.Errorf("not ready after %v (--wait): %s; --log-level debug --data-dir DIR keeps the logs in DIR/logs%s", c.cfg.Wait, missing, c.unready())
}

// unready says of each node that is not ready why, with its last lines.
func (c *cluster) unready() string {
	var b strings.Builder
	views, _ := c.monitor.views()
	for i, n := range views {
		if n.up && n.report.Ready {
			continue
		}
		fmt.Fprintf(&b, "\n%s", n.standing())
		run, err := c.children[i].live()
		if err != nil {
			continue
		}
		for _, line := range c.children[i].words(run) {
			b.WriteString("\n  " + line)
		}
	}
	return b.String()
}

// announce says that everything serves, and where. Who leads is known by now, also
// where a node is too slow to say so again.
func (c *cluster) announce(leader string, term uint64) {
	s := c.status()
	s.Leader, s.Term = leader, term
	c.tell(Event{
		Time: s.At, Kind: EventReady, Leader: s.Leader, Term: s.Term, Status: &s,
		Message: fmt.Sprintf("%s ready after %s; %s leads in term %d", nodesAre(len(s.Nodes)), span(s.At.Sub(c.began)), s.Leader, s.Term),
	})
}

func nodesAre(n int) string {
	if n == 1 {
		return "1 node is"
	}
	return fmt.Sprintf("%d nodes are", n)
}

func (c *cluster) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// stop ends every process: the balancer first, while the nodes can still
// answer what is in flight, then all nodes at once. The watchers go last,
// since an open long poll ends with its node. Last goes the spawner's thread,
// and with it whatever might still run.
func (c *cluster) stop() {
	c.monitor.mute()
	c.beginStop()
	var last []*run
	for _, ch := range c.children {
		last = append(last, ch.close())
	}
	nodes := len(c.plan.Nodes)
	c.end(c.children[nodes:], last[nodes:])
	c.end(c.children[:nodes], last[:nodes])
	c.unwatch()
	c.watching.Wait()
	c.spawner.close()
}

func (c *cluster) end(children []*child, runs []*run) {
	var wg sync.WaitGroup
	for i, ch := range children {
		if runs[i] == nil {
			continue
		}
		wg.Go(func() {
			if !ch.stop(runs[i], c.cfg.Grace, c.cfg.Now) {
				c.log.Warn("process did not end in time and was killed", zap.String("process", ch.proc.Name))
			}
		})
	}
	wg.Wait()
}

func (p Plan) node(name string) *Node {
	for i := range p.Nodes {
		if p.Nodes[i].Name == name {
			return &p.Nodes[i]
		}
	}
	return nil
}
