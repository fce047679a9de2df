package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// kinds of files that are damaged in turn.
var kinds = []string{"log", "snapshot", "vote", "identity"}

// startTime is how long a node may take to refuse its folder, or to serve from it.
const startTime = 30 * time.Second

// corrupt damages a file of a node that was killed, and starts the node: it must
// refuse to start with a message that names the file, or come up with all that it
// had. It is cut off from everyone meanwhile. What it would promise others would be
// forgotten with the damaged folder, and there is no way to know how much that is. At
// the end the folder is what it was.
func corrupt(f *field, d *dice) (string, func()) {
	f.folders.Lock()
	defer f.folders.Unlock()
	p := f.any(d)
	last, committed := f.memory(p)
	up := f.keepDown(sigkill, p)
	what := ""
	kept := p.Dir + ".kept"
	must(f, p.SwapData(func(dir string) (err error) {
		if err = os.Rename(dir, kept); err != nil {
			return err
		}
		if err = copyFolder(kept, dir); err != nil {
			return err
		}
		what, err = damage(dir, kinds[d.deal(len(kinds))], d)
		return err
	}))
	joined := f.c.Net.Isolate(p.Name)
	outcome := "there is nothing to damage"
	if what != "" {
		outcome = f.tryDamaged(p, what, min(last, committed)) // who is behind knows of more than it has
	}
	must(f, p.SwapData(func(dir string) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.Rename(kept, dir)
	}))
	joined()
	return fmt.Sprintf("%s: %s: %s", p.Name, what, outcome), up
}

// tryDamaged starts a node with a damaged folder, judges what it does, and ends it.
func (f *field) tryDamaged(p *harness.Process, what string, committed uint64) string {
	p.Start()
	defer p.Kill()
	last := uint64(0)
	ended := within(startTime, func() bool {
		last, _ = f.memory(p)
		return last > 0 || !p.Running()
	})
	said := p.Said()
	switch {
	case panicked(said):
		f.find("%s: %s: it panicked: %s", p.Name, what, lastLine(said))
		return "it panicked"
	case last > 0:
		if last < committed {
			f.find("%s: %s: it came up and reaches to entry %d; up to %d was committed", p.Name, what, last, committed)
		}
		return "it came up"
	case ended && p.Ended() < 0:
		return "it was killed by another nemesis"
	case ended && !strings.Contains(said, p.Dir):
		f.find("%s: %s: it refused to start and named no file: %s", p.Name, what, lastLine(said))
	case !ended && !f.hurtOtherwise(p):
		f.find("%s: %s: it neither started nor refused to in %v", p.Name, what, startTime)
	}
	return "it refused to start"
}

// hurtOtherwise says that another nemesis has stopped a node, or hurt its disk.
func (f *field) hurtOtherwise(p *harness.Process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.still[p] > 0 || f.failing[p] || p.Faulty()
}

// memory is how far a node's log or snapshot reaches, and up to which entry it knows
// that it is committed; 0 where it does not say.
func (f *field) memory(p *harness.Process) (last, committed uint64) {
	client := http.Client{Timeout: askTime}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + p.Health + "/status")
	if err != nil {
		return 0, 0
	}
	defer resp.Body.Close()
	var s struct {
		Commit   uint64
		Log      struct{ Last uint64 }
		Snapshot struct{ Index uint64 }
	}
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return 0, 0
	}
	return max(s.Log.Last, s.Snapshot.Index), s.Commit
}

// must ends the round where its own work fails.
func must(f *field, err error) {
	if err != nil {
		f.t.Fatal(err)
	}
}
