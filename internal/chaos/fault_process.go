package chaos

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/dengine/dengine/internal/harness"
)

// sigkill ends a node at once.
func sigkill(p *harness.Process) { p.Kill() }

// kill ends the leader with SIGKILL.
func kill(f *field, d *dice) (string, func()) {
	p := f.leader(d)
	return "killed " + p.Name, f.keepDown(sigkill, p)
}

// killAny ends a node with SIGKILL, the leader or another.
func killAny(f *field, d *dice) (string, func()) {
	p := f.any(d)
	return "killed " + p.Name, f.keepDown(sigkill, p)
}

// killMinority ends as many as may fail, the leader among them every other time.
func killMinority(f *field, d *dice) (string, func()) {
	victims := []*harness.Process{f.leaderOrAny(d)}
	for _, i := range d.Perm(len(f.c.Nodes)) {
		if p := f.c.Nodes[i]; len(victims) < f.minority() && p != victims[0] {
			victims = append(victims, p)
		}
	}
	return killed(f, victims)
}

// killAll ends every node. What was acknowledged must be on their disks.
func killAll(f *field, _ *dice) (string, func()) { return killed(f, f.c.Nodes) }

// killed ends nodes at the same moment, not one after the other.
func killed(f *field, victims []*harness.Process) (string, func()) {
	for _, p := range victims {
		p.Signal(syscall.SIGKILL)
	}
	return "killed " + names(victims), f.keepDown(sigkill, victims...)
}

// pause stops a node, which then goes on where it was: as if it still led, if it did.
func pause(f *field, d *dice) (string, func()) {
	p := f.leaderOrAny(d)
	return "stopped " + p.Name, f.stop(p)
}

// restart ends one node after the other with SIGTERM, and starts it again; the next
// one's turn comes when it is back.
func restart(f *field, d *dice) (string, func()) {
	var done []string
	for _, i := range d.Perm(len(f.c.Nodes)) {
		p := f.c.Nodes[i]
		f.keepDown(func(p *harness.Process) { p.Stop() }, p)()
		within(settleTime, func() bool {
			r, err := f.c.RoleWithin(p, askTime)
			return err == nil && r.Ready
		})
		done = append(done, p.Name)
	}
	return "restarted " + strings.Join(done, ", "), func() {}
}

func names(nodes []*harness.Process) string {
	var out []string
	for _, p := range nodes {
		out = append(out, p.Name)
	}
	return strings.Join(out, "+")
}

// of says who led when something was done to a node.
func of(what string, leader *harness.Process) string {
	return fmt.Sprintf("%s (leader %s)", what, leader.Name)
}
