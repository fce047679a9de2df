package launcher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dengine/dengine/healthcheck"
)

// bringUp starts a process that does not run, and waits until it serves. A
// node of a cluster without a majority cannot: there, it is enough that it
// answers. extra are more arguments, this once.
func (c *cluster) bringUp(ctx context.Context, ch *child, done string, extra ...string) (string, error) {
	name := ch.proc.Name
	if conflicts := checkPorts(c.addressesOf(name)); len(conflicts) > 0 {
		return "", &ConflictError{Conflicts: conflicts, Hint: "End what holds them, then start " + name + " again."}
	}
	run, err := ch.start(extra...)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Wait, errTooSlow)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-run.done:
			fail(errNotRunning)
		case <-c.stopping.Done():
			fail(errors.New("dengine-up is ending"))
		case <-ctx.Done():
		}
	}()
	note := ""
	if name == frontName {
		err = c.awaitFront(ctx)
	} else {
		note, err = c.awaitNode(ctx, name)
	}
	cause := context.Cause(ctx)
	fail(nil)
	<-watched
	switch {
	case errors.Is(cause, errNotRunning):
		return "", failedToStart(ch, run)
	case err != nil:
		return "", &StartError{name, fmt.Sprintf("runs (pid %d) but is not ready: %v", run.pid, err), ch.words(run)}
	}
	return fmt.Sprintf("%s was %s (pid %d)%s", name, done, run.pid, note), nil
}

func (c *cluster) addressesOf(name string) []Address {
	if name == frontName {
		return c.plan.Front.addresses()
	}
	return c.plan.node(name).addresses()
}

func (c *cluster) awaitFront(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		if leader := c.monitor.leader(); leader != "" {
			return c.frontServes(ctx, leader)
		}
		return c.prober.answers(ctx, "http://"+c.plan.Front.Admin+healthcheck.PathLive)
	})
}

// awaitNode returns what to add to the answer.
func (c *cluster) awaitNode(ctx context.Context, name string) (string, error) {
	note, last, out := "", "it has not answered yet", false
	err := c.monitor.await(ctx, func(nodes []view) bool {
		running := 0
		var me view
		for _, n := range nodes {
			if n.running && !n.paused {
				running++
			}
			if n.id == name {
				me = n
			}
		}
		need := len(nodes)/2 + 1
		switch {
		case !me.up && me.err != nil:
			last = me.err.Error()
		case me.up:
			last = strings.TrimSpace(string(me.report.Role) + " " + me.report.Reason)
		}
		if me.up && running < need {
			note = fmt.Sprintf("; no majority yet: %d of %d nodes run, %d must", running, len(nodes), need)
			return true
		}
		note = ""
		out = me.up && me.report.Role == healthcheck.RoleStopped
		return out || me.up && me.report.Ready
	})
	if err == nil && out {
		return "", fmt.Errorf("%s; or let this do all of it: %s rejoin %s", last, c.cfg.Command, name)
	}
	if errors.Is(err, errTooSlow) {
		err = fmt.Errorf("%w (--wait %v): %s", err, c.cfg.Wait, last)
	}
	return note, err
}

// failedToStart describes a process that ended while it started.
func failedToStart(ch *child, run *run) error {
	what := "ended while starting"
	if s := ch.state(); s.Exit != nil {
		what = fmt.Sprintf("ended while starting (%v)", s.Exit)
	}
	return &StartError{ch.proc.Name, what, ch.words(run)}
}
