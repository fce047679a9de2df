//go:build faults

package node

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// faultPause, in the control file, stops the process once between the check of a
// lease and the answer; SIGCONT lets it go on.
const faultPause = "pause-in-lease"

// pauseInLease does what the control file says of it.
func pauseInLease(n *Node) {
	path := filepath.Join(n.dir.path, faultFile)
	if b, _ := os.ReadFile(path); strings.TrimSpace(string(b)) != faultPause {
		return
	}
	if os.Remove(path) == nil { // one read alone
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
}
