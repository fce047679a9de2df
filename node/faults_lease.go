//go:build faults

package node

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// faultPause, in the control file, stops the process once between the check of a
// lease and the answer; SIGCONT lets it go on.
const faultPause = "pause-in-lease"

// leastPause is what counts as having been stopped: less than a test stops it for,
// and more than a busy machine does.
const leastPause = 100 * time.Millisecond

// pauseInLease does what the control file says of it.
func pauseInLease(n *Node) {
	path := filepath.Join(n.dir.path, faultFile)
	if b, _ := os.ReadFile(path); strings.TrimSpace(string(b)) != faultPause {
		return
	}
	if os.Remove(path) != nil { // another read was first
		return
	}
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) != nil {
		return
	}
	// Other threads may stop before this one does. Until it has, time passes evenly.
	end := time.Now().Add(time.Second)
	for last := time.Now(); last.Before(end); {
		now := time.Now()
		if now.Sub(last) > leastPause {
			return
		}
		last = now
	}
}
