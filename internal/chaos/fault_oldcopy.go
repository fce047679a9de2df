package chaos

import (
	"os"
	"strings"
	"time"
)

// What a node says of its data folder; see node/starts.go.
const (
	saysKnown = "all peers know of this start"
	saysOlder = "the data directory is an older copy"
)

// oldCopy puts a folder back as it was before the node's last run: the node has
// forgotten what it acknowledged in it, and must refuse to take part. At the end it
// has the newest folder again. That this is noticed is promised where all others
// heard of the last run; where they have not, nothing is done.
func oldCopy(f *field, d *dice) (string, func()) {
	f.folders.Lock()
	defer f.folders.Unlock()
	p := f.any(d)
	up := f.keepDown(sigkill, p)
	old, kept := p.Dir+".old", p.Dir+".kept"
	must(f, copyFolder(p.Dir, old))
	defer os.RemoveAll(old) // where it was not used; the rest goes with the cluster
	p.Start()
	known := within(settleTime, func() bool { return strings.Contains(p.Said(), saysKnown) })
	time.Sleep(between(d.Rand, 200*ms, 1000*ms)) // time to acknowledge something
	p.Kill()
	if !known {
		return p.Name + " was not to forget a run that not all know of", up
	}
	must(f, p.SwapData(func(dir string) error { return move(dir, kept, old, dir) }))
	p.Start()
	noticed := within(startTime, func() bool { return !p.Running() })
	killed := noticed && p.Ended() < 0
	p.Kill()
	if said := p.Said(); !killed && !strings.Contains(said, saysOlder) && !f.hurtOtherwise(p) {
		f.find("%s took part with an older copy of its folder, or said nothing of it: %s", p.Name, lastLine(said))
	}
	must(f, p.SwapData(func(dir string) error { return move(dir, old, kept, dir) }))
	return "gave " + p.Name + " an older copy of its folder", up
}

// move renames folders, from, to, from, to, ….
func move(names ...string) error {
	for i := 0; i+1 < len(names); i += 2 {
		if err := os.Rename(names[i], names[i+1]); err != nil {
			return err
		}
	}
	return nil
}
