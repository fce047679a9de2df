//go:build unix && !linux

package launcher

import "syscall"

// childAttributes puts a child in a process group of its own. Only Linux can
// also tie its life to ours: elsewhere, SIGKILL of dengine-up leaves the nodes.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// isStopped cannot be asked here; the signal was sent, which is all we know.
func isStopped(int) bool { return true }

// portHolders cannot be found out here without other programs.
func portHolders() map[int]string { return nil }
