package launcher

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listening is the state of a listening socket in /proc/net/tcp.
const listening = "0A"

// portHolders says which process holds which TCP port: best effort, since
// other users' processes can only be looked into by root.
func portHolders() map[int]string {
	inodes := make(map[string]int) // socket inode → port
	taken := make(map[int]bool)    // ports with a listening socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		readSockets(table, inodes, taken)
	}
	out := make(map[int]string)
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil { // only a malformed pattern
		return out
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		port, ok := inodes[strings.TrimSuffix(inode, "]")]
		if !ok || out[port] != "" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err != nil {
			continue
		}
		out[port] = fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), pid)
	}
	return out
}

// readSockets notes the sockets of one table. A listening socket holds its
// port before any connection that merely uses it.
func readSockets(table string, inodes map[string]int, taken map[int]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, hexPort, ok := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hexPort, 16, 16)
		if !ok || err != nil {
			continue
		}
		p, state, inode := int(port), fields[3], fields[9]
		switch {
		case state == listening:
			if !taken[p] {
				for old, port := range inodes {
					if port == p {
						delete(inodes, old)
					}
				}
			}
			taken[p] = true
			inodes[inode] = p
		case !taken[p] && inode != "0":
			inodes[inode] = p
		}
	}
}
