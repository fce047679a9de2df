package launcher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// FindProgram returns the path of one of dengine's own programs: what the flag
// names, else the one beside exe (the running program), else the one in PATH.
func FindProgram(name, exe, flag, given string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", flag, given, err)
		}
		return filepath.Abs(path)
	}
	if exe != "" {
		beside := filepath.Join(filepath.Dir(exe), name)
		if isProgram(beside) {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside %s nor in PATH: build it with \"make build\", or name it with %s", name, exe, flag)
	}
	return filepath.Abs(path)
}

// findHAProxy looks in PATH and where distributions put it, which is not in
// the PATH of an ordinary user everywhere.
func findHAProxy() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("--lb haproxy needs HAProxy, which is not installed (Debian, Ubuntu: apt-get install haproxy; Fedora: dnf install haproxy; macOS: brew install haproxy), or use --lb dengine")
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
