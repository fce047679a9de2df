package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

const (
	proxyFront   = "127.0.0.1:8080" // where every sample configuration listens
	proxyPackage = "no %s here: install the Debian package %s, or run .ci/proxies as root"
)

// sample is a configuration in testdata for a program that others make.
type sample struct {
	name    string
	program string
	check   []string // arguments that only check the file
	run     []string
	// courteous: it answers in the nodes' words where it answers itself, retries
	// reads, and takes every method that is no read for a write. The reference
	// configuration does none of it.
	courteous bool
	// hangsUp: when a node breaks a connection in the middle of a request, the
	// client's connection is closed without an answer, unless the request was the
	// first on it. HAProxy has no setting for that.
	hangsUp bool
}

// FILE and DIR in the arguments stand for the sample's file and for a folder
// that the program may write to.
var samples = []sample{
	{
		name: "haproxy.cfg", program: "haproxy", hangsUp: true,
		check: []string{"-c", "-f", "FILE"}, run: []string{"-f", "FILE"},
	},
	{
		name: "haproxy-tuned.cfg", program: "haproxy", courteous: true, hangsUp: true,
		check: []string{"-c", "-f", "FILE"}, run: []string{"-f", "FILE"},
	},
	{
		name: "nginx.conf", program: "nginx", courteous: true,
		check: []string{"-e", "stderr", "-p", "DIR", "-t", "-c", "FILE"}, run: []string{"-e", "stderr", "-p", "DIR", "-c", "FILE"},
	},
	{
		name: "Caddyfile", program: "caddy", courteous: true,
		check: []string{"validate", "--adapter", "caddyfile", "--config", "FILE"}, run: []string{"run", "--config", "FILE"},
	},
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// find is the program's path. A missing program fails the test: a sample that
// nobody runs is not known to work.
func (s sample) find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{s.program, "/usr/sbin/" + s.program} { // users may lack /usr/sbin in PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf(proxyPackage, s.program, s.program)
	return ""
}

func (s sample) args(t *testing.T, args []string, dir string) []string {
	t.Helper()
	file := filepath.Join(repository(t), "testdata", s.name)
	return strings.Split(strings.NewReplacer("FILE", file, "DIR", dir).Replace(strings.Join(args, "\x00")), "\x00")
}

// accepts lets the program itself check the file.
func (s sample) accepts(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(s.find(t), s.args(t, s.check, dir)...)
	cmd.Env = quietEnv(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s refuses testdata/%s: %v\n%s", s.program, s.name, err, out)
	}
}

// start runs the program with its sample until the test ends.
func (s sample) start(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	launch(t, dir, s.find(t), s.args(t, s.run, dir)...)
	harness.Eventually(t, s.program+" to listen", func() error {
		conn, err := net.Dial("tcp", proxyFront)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// launch runs a program in dir until the test ends, and shows what it printed if
// the test has failed. The kernel ends it should the test die.
func launch(t *testing.T, dir, path string, args ...string) {
	t.Helper()
	var out lockedBuffer
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, quietEnv(dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // Pdeathsig is about the thread that started the program
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter: it was told to
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // nginx then ends its workers too
		select {
		case <-done:
		case <-time.After(harness.Patience):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its own process group
			<-done
			t.Errorf("%s did not end within %v of SIGTERM", path, harness.Patience)
		}
		if t.Failed() {
			t.Logf("output of %s:\n%s", path, out.String())
		}
	})
}

// quietEnv keeps a program's files below dir, and settings for our own out.
func quietEnv(dir string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "DENGINE_") })
	return append(env, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fixedPorts waits until the ports that the samples name are free: they may be
// about to be, when another cluster is on its way out.
func fixedPorts(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "ports that the files in testdata name (is dengine-up running? end it with: make down)", func() error {
		var busy []error
		for _, port := range []int{8080, 8081, 8082, 8083, 9081, 9082, 9083, 10001, 10002, 10003} {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				busy = append(busy, err)
				continue
			}
			ln.Close()
		}
		return errors.Join(busy...)
	})
}
