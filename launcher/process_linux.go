package launcher

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// childAttributes puts a child in a process group of its own, so that Ctrl-C in
// the terminal reaches dengine-up only, and has the kernel kill it when
// dengine-up dies in whatever way.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isStopped says whether SIGSTOP has taken effect: SIGSTOP is sent in no time
// and obeyed a little later.
func isStopped(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// The name, in parentheses, may hold anything; the state follows it.
	i := bytes.LastIndexByte(stat, ')')
	return i >= 0 && i+2 < len(stat) && (stat[i+2] == 'T' || stat[i+2] == 't')
}
