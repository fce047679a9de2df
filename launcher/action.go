package launcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// Action is something that can be done to one process.
type Action string

const (
	ActionKill    Action = "kill"    // SIGKILL
	ActionStop    Action = "stop"    // SIGTERM, and SIGKILL if that does not help
	ActionStart   Action = "start"   // with the same arguments and data
	ActionRestart Action = "restart" // stop and start
	ActionPause   Action = "pause"   // SIGSTOP
	ActionResume  Action = "resume"  // SIGCONT
	ActionRejoin  Action = "rejoin"  // as a new member, with an empty folder
)

// Names that mean whoever has that role at the moment.
const (
	nameLeader   = "leader"
	nameFollower = "follower"
)

// pauseSeen bounds the wait for SIGSTOP and SIGCONT to take effect.
const pauseSeen = 5 * time.Second

// refusal says why an action makes no sense now. code is for programs.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.message }

func refuse(code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// act does one thing and returns when its effect is seen, with one line that
// says what was done.
func (c *cluster) act(ctx context.Context, action Action, target string) (string, error) {
	switch action {
	case ActionKill, ActionStop, ActionStart, ActionRestart, ActionPause, ActionResume, ActionRejoin:
	default:
		return "", refuse("unknown_action", "unknown action %q; there are kill, stop, start, restart, pause, resume, rejoin", action)
	}
	if !c.isReady() {
		return "", refuse("not_ready", "the cluster is still starting; try again when it is ready")
	}
	ch, err := c.find(action, target)
	if err != nil {
		return "", err
	}
	ch.acting.Lock()
	defer ch.acting.Unlock()
	if c.stopping.Err() != nil {
		return "", refuse("stopping", "dengine-up is ending")
	}
	name := ch.proc.Name
	run, err := ch.live()
	switch {
	case action == ActionRejoin:
		return c.rejoin(ctx, ch)
	case action == ActionStart && err == nil:
		return "", refuse("running", "%s runs already (pid %d); restart it, or resume it if it is paused", name, run.pid)
	case action == ActionStart:
		return c.bringUp(ctx, ch, "started")
	case action == ActionRestart && err != nil:
		return c.bringUp(ctx, ch, "started (it was not running)")
	case err != nil:
		return "", refuse("not_running", "%s does not run; start it with: %s start %s", name, c.cfg.Command, name)
	}
	switch action {
	case ActionKill:
		ch.kill(run, askedKill)
		return fmt.Sprintf("%s (pid %d) was killed; start it again with: %s start %s", name, run.pid, c.cfg.Command, name), nil
	case ActionStop:
		return fmt.Sprintf("%s (pid %d) was stopped%s; start it again with: %s start %s", name, run.pid, c.halt(ch, run), c.cfg.Command, name), nil
	case ActionRestart:
		return c.bringUp(ctx, ch, "restarted"+c.halt(ch, run))
	case ActionPause:
		return c.pause(ctx, ch, run)
	}
	return c.resume(ctx, ch, run)
}

// find resolves a name. Roles name nodes that run, so nothing that does not
// can be started or resumed by them, and no folder is set aside by a role.
func (c *cluster) find(action Action, target string) (*child, error) {
	name := target
	if target == nameLeader || target == nameFollower {
		if action == ActionStart || action == ActionResume || action == ActionRejoin {
			return nil, refuse("needs_name", "%s needs a node's name: %s", action, strings.Join(c.names(), ", "))
		}
		leader := c.monitor.leader()
		name = leader
		if target == nameFollower {
			name = c.follower(leader)
		}
		if name == "" {
			return nil, refuse("no_"+target, "there is no %s at the moment; name a node: %s", target, strings.Join(c.names(), ", "))
		}
	}
	for _, ch := range c.children {
		if ch.proc.Name == name {
			return ch, nil
		}
	}
	return nil, refuse("unknown_name", "nothing is called %q; there are %s, and leader and follower for whoever is that", target, strings.Join(c.names(), ", "))
}

// follower is the first node that runs and is not the leader. Without a leader
// nobody follows.
func (c *cluster) follower(leader string) string {
	if leader == "" {
		return ""
	}
	views, _ := c.monitor.views()
	for _, n := range views {
		if n.running && !n.paused && n.up && n.id != leader {
			return n.id
		}
	}
	return ""
}

func (c *cluster) names() []string {
	var out []string
	for _, ch := range c.children {
		out = append(out, ch.proc.Name)
	}
	return out
}

// halt stops a run in good order; it returns what to add to the answer where
// that did not work.
func (c *cluster) halt(ch *child, run *run) string {
	if ch.proc.Name != frontName {
		c.monitor.with(func(t *tracker, _ time.Time) []Event {
			t.stopping(ch.proc.Name)
			return nil
		})
	}
	if ch.stop(run, c.cfg.Grace, c.cfg.Now) {
		return ""
	}
	return fmt.Sprintf(" (by SIGKILL: it did not end within %v)", c.cfg.Grace)
}

func (c *cluster) pause(ctx context.Context, ch *child, run *run) (string, error) {
	name := ch.proc.Name
	if ch.state().State == StatePaused {
		return "", refuse("paused", "%s is paused already; resume it with: %s resume %s", name, c.cfg.Command, name)
	}
	if err := ch.signal(run, syscall.SIGSTOP); err != nil {
		return "", err
	}
	c.tellPause(name, true)
	if err := c.seen(ctx, run, func() bool { return isStopped(run.pid) }); err != nil {
		return "", fmt.Errorf("pause %s: %w", name, err)
	}
	return fmt.Sprintf("%s (pid %d) is paused; resume it with: %s resume %s", name, run.pid, c.cfg.Command, name), nil
}

func (c *cluster) resume(ctx context.Context, ch *child, run *run) (string, error) {
	name := ch.proc.Name
	if ch.state().State != StatePaused {
		return "", refuse("not_paused", "%s is not paused", name)
	}
	c.tellPause(name, false)
	if err := ch.signal(run, syscall.SIGCONT); err != nil {
		return "", err
	}
	if err := c.seen(ctx, run, func() bool { return !isStopped(run.pid) }); err != nil {
		return "", fmt.Errorf("resume %s: %w", name, err)
	}
	return fmt.Sprintf("%s (pid %d) runs again", name, run.pid), nil
}

func (c *cluster) tellPause(name string, paused bool) {
	now := time.Now()
	switch {
	case name == frontName && paused:
		c.tellFront(Event{Time: now, Kind: EventPause, Node: name, Message: name + " was paused"})
	case name == frontName:
		c.tellFront(Event{Time: now, Kind: EventResume, Node: name, Message: name + " runs again"})
	case paused:
		c.monitor.with(func(t *tracker, now time.Time) []Event { return t.paused(now, name) })
	default:
		c.monitor.with(func(t *tracker, now time.Time) []Event { return t.resumed(now, name) })
	}
}

// seen waits until a signal has taken effect.
func (c *cluster) seen(ctx context.Context, run *run, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, pauseSeen)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-run.done:
			return errors.New("the process has ended meanwhile")
		case <-ctx.Done():
			return errors.New("the signal was sent, but its effect was not seen")
		}
	}
	return nil
}
