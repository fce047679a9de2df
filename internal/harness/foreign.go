package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Find returns the path of a program that others make; administrators' programs
// are found too where /usr/sbin is not in PATH.
func Find(program string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s here: install the Debian package %s, or run .ci/proxies as root", program, program)
}

// Version is the first line of what a program prints that others make, when asked
// with these arguments; an error says that it is not here. Some say their version
// on stderr (nginx), or with a failure (wrk).
func Version(program string, args ...string) (string, error) {
	path, err := Find(program)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("%s %s says nothing: %v", path, strings.Join(args, " "), err) // err may be nil
	}
	return line, nil
}

// QuietEnv keeps a program's files below dir, and settings for ours out.
func QuietEnv(dir string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "DENGINE_") })
	return append(env, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
}

// Foreign runs a program in dir until the test ends, with QuietEnv and with more
// environment as NAME=value.
func Foreign(t T, dir, path string, args []string, env ...string) *Process {
	t.Helper()
	p := &Process{Name: filepath.Base(path), t: t, path: path, args: args, dir: dir, env: append(QuietEnv(dir), env...)}
	p.Start()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM) // nginx then ends its workers too
		p.showLog()
	})
	return p
}

// AwaitPort waits until somebody listens.
func AwaitPort(t T, what, addr string) {
	t.Helper()
	Eventually(t, what+" to listen on "+addr, func() error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
