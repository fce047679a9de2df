package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// up is a running dengine-up.
type up struct {
	t      *testing.T
	path   string
	offset string
	env    []string
	cmd    *exec.Cmd
	done   chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (u *up) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out.Write(b)
}

func (u *up) output() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out.String()
}

// calm is patient for dengine-up: its leaders go when they are told to.
var calm = []string{"--node-arg=--heartbeat-timeout=2s", "--node-arg=--election-timeout=2s", "--node-arg=--lease-timeout=2s"}

// startUp runs dengine-up and waits for its table.
func startUp(t *testing.T, args ...string) *up {
	t.Helper()
	u := &up{t: t, path: filepath.Join(harness.Programs(t), "dengine-up"), offset: fmt.Sprint(harness.FreeOffset(t, 9, 8080, 9081, 10001)), done: make(chan error, 1)}
	u.env = append(os.Environ(), "TMPDIR="+t.TempDir(), "XDG_RUNTIME_DIR=")
	u.cmd = exec.Command(u.path, append([]string{"--port-offset", u.offset}, args...)...)
	u.cmd.Env, u.cmd.Stdout, u.cmd.Stderr = u.env, u, u
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.done <- u.cmd.Wait() }()
	t.Cleanup(func() {
		_ = u.cmd.Process.Kill() // where the test has not ended it
		if t.Failed() {
			t.Logf("dengine-up printed:\n%s", u.output())
		}
	})
	u.says("end everything")
	return u
}

// says waits for a line that matches, and returns it.
func (u *up) says(pattern string) string {
	u.t.Helper()
	re := regexp.MustCompile("(?m)^.*" + pattern + ".*$")
	var line string
	harness.Eventually(u.t, "dengine-up to say "+pattern, func() error {
		if line = re.FindString(u.output()); line == "" {
			return fmt.Errorf("it said:\n%s", u.output())
		}
		return nil
	})
	return line
}

// pasted runs the command that stands behind a name in the table.
func (u *up) pasted(name string) string {
	u.t.Helper()
	line := u.says("^  " + name + "  ")
	return u.sh(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), name)))
}

func (u *up) sh(command string) string {
	u.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = u.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		u.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func (u *up) run(args string) string {
	u.t.Helper()
	return u.sh(u.path + " " + args + " --port-offset " + u.offset)
}

// pids are those of the nodes and the balancer that run.
func (u *up) pids() []int {
	u.t.Helper()
	var s struct {
		Nodes []struct {
			PID int `json:"pid"`
		} `json:"nodes"`
		LB struct {
			PID int `json:"pid"`
		} `json:"lb"`
	}
	if err := json.Unmarshal([]byte(u.run("status --json")), &s); err != nil {
		u.t.Fatal(err)
	}
	var out []int
	for _, n := range s.Nodes {
		out = append(out, n.PID)
	}
	return append(out, s.LB.PID)
}

// gone waits until none of the processes runs; one that nobody has reaped yet
// does not.
func gone(t *testing.T, pids []int) {
	t.Helper()
	harness.Eventually(t, "no process to be left", func() error {
		for _, pid := range pids {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				return fmt.Errorf("process %d runs: %s", pid, stat)
			}
		}
		return nil
	})
}

// The walk-through of the README, with the commands as dengine-up prints them.
func TestUpWalkThrough(t *testing.T) {
	t.Parallel()
	u := startUp(t, calm...)
	if out := u.pasted("write"); !strings.Contains(out, "200 OK") {
		t.Errorf("the pasted write: %s", out)
	}
	harness.Eventually(t, "the pasted read", func() error {
		if out := u.pasted("read"); !strings.Contains(out, `{"value":"alice"}`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	pids := u.pids()
	if out := u.pasted("crash the leader"); !strings.Contains(out, "was killed") {
		t.Errorf("%s", out)
	}
	if out := u.pasted("write"); !strings.Contains(out, "200 OK") {
		t.Errorf("the write after the leader died: %s", out)
	}
	line := u.says(`n\d died \(SIGKILL\); (n\d leads|no leader yet)`) // the latter on a busy machine
	u.says(`n\d leads in term \d+; no leader for [0-9.]+ m?s`)
	dead := regexp.MustCompile(`(n\d) died`).FindStringSubmatch(line)[1]
	if out := u.run("start " + dead); !strings.Contains(out, "was started") {
		t.Errorf("%s", out)
	}
	if out := u.pasted("look"); !strings.Contains(out, "3 of 3 nodes run") {
		t.Errorf("%s", out)
	}
	pids = append(pids, u.pids()...)
	u.run("down")
	if err := <-u.done; err != nil {
		t.Errorf("dengine-up ended with %v", err)
	}
	gone(t, pids)
}

// However dengine-up ends, nothing is left running.
func TestUpKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUp(t, "--lb", "none")
			pids := u.pids()[:3]
			start := time.Now()
			if err := u.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-u.done
			gone(t, pids)
			t.Logf("nothing was left after %v", time.Since(start))
		})
	}
}
