package launcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// lostFormat is the time in the name of a folder that was moved aside.
const lostFormat = "20060102-150405.000"

// rejoin brings a node back with an empty folder, whatever became of the old one: as
// a member that is removed, added as a learner, and a voter again once it has caught
// up. It returns all steps, which are also told as they happen.
func (c *cluster) rejoin(ctx context.Context, ch *child) (string, error) {
	name := ch.proc.Name
	n := c.plan.node(name)
	if n == nil {
		return "", refuse("no_node", "%s is the balancer and has no data; restart it", name)
	}
	at, err := c.majorityWithout(name)
	if err != nil {
		return "", err
	}
	var steps []string
	step := func(format string, args ...any) {
		message := fmt.Sprintf(format, args...)
		steps = append(steps, message)
		c.tell(Event{Time: time.Now(), Kind: EventRejoin, Node: name, Message: message})
	}
	if run, err := ch.live(); err == nil {
		step("%s (pid %d) was stopped%s", name, run.pid, c.halt(ch, run))
	}
	if err := c.removeMember(ctx, at, name); err != nil {
		return "", fmt.Errorf("%s does not run and could not be removed: %w; with the folder that it has it starts again with: %s start %s", name, err, c.cfg.Command, name)
	}
	step("%s was removed from the cluster", name)
	lost, err := setAside(n.Dir, time.Now())
	if err != nil {
		return "", err
	}
	if lost != "" {
		step("its folder was moved to %s", lost)
	}
	started, err := c.bringUp(ctx, ch, "started with an empty folder", "--join")
	if err != nil {
		return "", err
	}
	step("%s; it is a learner until it has caught up", started)
	if err := c.awaitVoter(ctx, name); err != nil {
		return "", err
	}
	step("%s has caught up and is a voter again", name)
	return strings.Join(steps, "\n"), nil
}

// majorityWithout returns the health port of a node other than this one, where so
// many others run that they elect and commit without it.
func (c *cluster) majorityWithout(name string) (health string, err error) {
	views, _ := c.monitor.views()
	running := 0
	for _, v := range views {
		if v.id != name && v.running && !v.paused && v.up {
			running++
			health = c.plan.node(v.id).Health
		}
	}
	if need := len(views)/2 + 1; running < need {
		return "", refuse("no_majority", "%d nodes run beside %s, and %d must, so that the cluster can do without it meanwhile", running, name, need)
	}
	return health, nil
}

// removeMember removes a node from the cluster, unless that was done before.
func (c *cluster) removeMember(ctx context.Context, at, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Wait)
	defer cancel()
	_, err := healthcheck.RemoveMember(ctx, at, name)
	var refused *healthcheck.MembersError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code == healthcheck.CodeNotAMember {
		return nil
	}
	return err
}

// setAside moves a folder out of the way and makes an empty one. It returns where
// the old one is, "" where there was none.
func setAside(dir string, now time.Time) (lost string, err error) {
	lost = dir + ".lost-" + now.Format(lostFormat)
	if err := os.Rename(dir, lost); errors.Is(err, os.ErrNotExist) {
		lost = ""
	} else if err != nil {
		return "", fmt.Errorf("move folder aside: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return lost, nil
}

// awaitVoter waits until the leader has a node as a voter.
func (c *cluster) awaitVoter(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Wait, errTooSlow)
	defer cancel()
	err := c.monitor.await(ctx, func(nodes []view) bool { return votes(nodes, name) })
	if errors.Is(err, errTooSlow) {
		return fmt.Errorf("%s is still a learner after %v (--wait); the leader makes it a voter once it has caught up: look with %s status", name, c.cfg.Wait, c.cfg.Command)
	}
	return err
}

// votes says whether a node that takes writes has the named one as a voter.
func votes(nodes []view, name string) bool {
	for _, n := range nodes {
		if !n.primary() {
			continue
		}
		for _, m := range n.report.Members {
			if m.ID == name && m.Voter {
				return true
			}
		}
	}
	return false
}
