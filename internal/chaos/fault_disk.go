package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// diskSlow makes each write to a log take longer.
func diskSlow(f *field, d *dice) (string, func()) {
	p := f.leaderOrAny(d)
	order := fmt.Sprintf("slow %v", between(d.Rand, 5*ms, 100*ms).Round(ms))
	return "disk of " + p.Name + ": " + order, p.AddFault(order)
}

// diskHang holds every write to a log, until heal.
func diskHang(f *field, d *dice) (string, func()) {
	p := f.leaderOrAny(d)
	return "disk of " + p.Name + " hangs", p.AddFault("hang")
}

// diskError has writes to a log fail: a node that cannot write ends.
func diskError(f *field, d *dice) (string, func()) { return diskFails(f, d, "error") }

// diskFull is diskError for want of room.
func diskFull(f *field, d *dice) (string, func()) { return diskFails(f, d, "enospc") }

// endTime is how long a node may take to meet its disk: where there is no leader it
// may have nothing to write.
const endTime = 2 * time.Second

func diskFails(f *field, d *dice, order string) (string, func()) {
	p := f.leaderOrAny(d)
	f.mu.Lock()
	f.failing[p] = true
	f.mu.Unlock()
	whole := p.AddFault(order)
	what := fmt.Sprintf("disk of %s: %s", p.Name, order)
	switch {
	case !within(endTime, func() bool { return !p.Running() }):
		what += ", which it has not met"
	case f.isDown(p): // another nemesis was faster
	default:
		if said := p.Said(); !strings.Contains(said, p.Dir) {
			f.find("%s ended, since its disk failed, and did not name its folder: %s", p.Name, lastLine(said))
		}
	}
	return what, func() {
		whole()
		f.revive(p)
	}
}

// revive starts a node that has ended by itself, unless it is kept down.
func (f *field) revive(p *harness.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[p] == 0 && !p.Running() {
		p.Start()
	}
}

// jumps are by how much wall clocks jump.
var jumps = []time.Duration{-8760 * time.Hour, -time.Hour, -5 * time.Second, 5 * time.Second, time.Hour, 8760 * time.Hour}

// jump has the wall clock of a node jump ahead or back, or those of all nodes, each by
// something else. What is promised for a time must not be over sooner or later.
func jump(f *field, d *dice) (string, func()) {
	victims := []*harness.Process{f.leaderOrAny(d)}
	if d.IntN(2) == 0 {
		victims = f.c.Nodes
	}
	var what []string
	var heals []func()
	for _, p := range victims {
		by := jumps[d.IntN(len(jumps))]
		what = append(what, fmt.Sprintf("%s by %v", p.Name, by))
		heals = append(heals, p.AddFault(fmt.Sprintf("clock %v", by)))
	}
	return "clock jumps: " + strings.Join(what, ", "), func() {
		for _, heal := range heals {
			heal()
		}
	}
}
