package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/launcher"
)

const deadline = time.Minute

// bin is where dengine-up and the fake programs are, side by side.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "dengine-up-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		for name, pkg := range map[string]string{
			"dengine-up":   ".",
			"dengine-node": "../../launcher/testdata/fake",
			"dengine-lb":   "../../launcher/testdata/fake",
		} {
			args := append([]string{"build"}, raceFlag...)
			out, err := exec.Command("go", append(args, "-o", filepath.Join(dir, name), pkg)...).CombinedOutput()
			if err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// program is one running dengine-up.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string // its TMPDIR
	offset int
	out    *output
	errs   *output
	done   chan struct{}
	code   int
}

// output collects what a program writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command prepares dengine-up with a temporary folder of its own, which also
// takes the socket.
func command(t *testing.T, dir string, offset int, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, "dengine-up"), append(args, "--port-offset", fmt.Sprint(offset))...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_RUNTIME_DIR=")
	return cmd
}

func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, dir: tempDir(t), offset: freeOffset(t), out: &output{}, errs: &output{}, done: make(chan struct{})}
	p.cmd = command(t, p.dir, p.offset, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.errs
	p.cmd.WaitDelay = deadline
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", p.out, p.errs)
		}
	})
	return p
}

// up starts a cluster and waits until it serves; where another test was
// quicker to take a port, on others.
func up(t *testing.T, args ...string) *program {
	t.Helper()
	for range 5 {
		p := start(t, args...)
		eventually(t, "ready or ended", func() bool {
			return p.ended() || strings.Contains(p.out.String(), "are ready after")
		})
		if !p.ended() {
			return p
		}
		if !strings.Contains(p.errs.String(), "in use") {
			t.Fatalf("dengine-up ended: %s", p.errs)
		}
	}
	t.Fatal("ports are taken again and again")
	return nil
}

func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(deadline):
		p.cmd.Process.Signal(syscall.SIGQUIT) // it says on stderr what it waits for
		select {
		case <-p.done:
		case <-time.After(deadline):
		}
		p.t.Fatal("dengine-up does not end")
		return 0
	}
}

// ask runs another command and returns what it writes and how it exits.
func (p *program) ask(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := command(p.t, p.dir, p.offset, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (p *program) status() launcher.Status {
	p.t.Helper()
	out, errs, code := p.ask("status", "--json")
	var s launcher.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		p.t.Fatalf("status --json: exit %d, %v\n%s", code, err, errs)
	}
	return s
}

func (p *program) pids() []int {
	s := p.status()
	out := []int{s.Balancer.PID}
	for _, n := range s.Nodes {
		out = append(out, n.PID)
	}
	return out
}

// empty fails where processes, the socket or temporary data are left.
func (p *program) empty(pids []int) {
	p.t.Helper()
	for _, pid := range pids {
		if lives(pid) {
			p.t.Errorf("process %d is left", pid)
		}
	}
	filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() || strings.Contains(path, "dengine-up-") {
			p.t.Errorf("%s is left", path)
		}
		return nil
	})
}

func lives(pid int) bool {
	if pid == 0 || syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func freeOffset(t *testing.T) int {
	t.Helper()
	return harness.FreeOffset(t, 9, 8080, 9080, 10000)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	within(t, deadline, what, is)
}

func within(t *testing.T, d time.Duration, what string, is func() bool) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not seen within %v: %s", d, what)
		}
	}
}
