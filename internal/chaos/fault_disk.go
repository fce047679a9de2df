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
