package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/launcher"
	"go.uber.org/zap"
)

func itoa(n int) string { return strconv.Itoa(n) }

// signal ends a process in a way that nobody asked dengine-up for.
func signal(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// pids are the processes of a status.
func pids(s launcher.Status) []int {
	var out []int
	for _, n := range s.Nodes {
		out = append(out, n.PID)
	}
	if s.Balancer != nil {
		out = append(out, s.Balancer.PID)
	}
	return out
}

// gone fails where anything of a run is left.
func gone(t *testing.T, cfg launcher.Config, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if lives(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	for _, path := range []string{cfg.Socket, cfg.Socket + ".lock"} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left", path)
		}
	}
	left, err := os.ReadDir(cfg.TempDir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v (%v)", left, err)
	}
}

func TestUpServesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 3, 5} {
		t.Run(itoa(nodes), func(t *testing.T) {
			t.Parallel()
			c := up(t, func(cfg *launcher.Config) { cfg.Nodes = nodes })
			s := c.led()
			e, _ := c.events.first(0, launcher.EventReady)
			if len(s.Nodes) != nodes || !s.Ready || !s.Temporary || e.Status == nil ||
				e.Status.Leader == "" || e.Status.Term == s.Term && e.Status.Leader != s.Leader {
				t.Errorf("%+v; %+v", s, e)
			}
			resp, err := http.Post("http://"+s.Balancer.HTTP+"/kv", "application/json", strings.NewReader(`{"key":"a","value":"b"}`))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("a write gives %d", resp.StatusCode)
			}
			info, err := os.Stat(c.cfg.Socket)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("socket: %v, %v", info, err)
			}
			for _, n := range s.Nodes {
				if !strings.HasPrefix(n.Log, s.Dir) || !strings.Contains(read(t, n.Log), "starting") {
					t.Errorf("log file %s of %s", n.Log, n.Name)
				}
			}
			c.cancel()
			if err := c.waitEnd(); err != nil {
				t.Error(err)
			}
			gone(t, c.cfg, pids(s))
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// deafTerminal takes the table and nothing after it.
type deafTerminal struct{ ready chan struct{} }

func (d deafTerminal) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "are ready after") {
		close(d.ready)
		return len(p), nil
	}
	return 0, errors.New("gone")
}

func TestOutputThatFailsEndsEverything(t *testing.T) {
	t.Parallel()
	var cfg launcher.Config
	var err error
	for range 5 { // another test may take a port meanwhile
		cfg = config(t)
		out := deafTerminal{make(chan struct{})}
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		go func() { done <- launcher.Run(ctx, cfg, out, zap.NewNop()) }()
		select {
		case <-out.ready:
			if _, err := launcher.NewClient(cfg.Socket).Act(t.Context(), launcher.ActionKill, "leader"); err != nil {
				t.Error(err)
			}
			err = <-done
		case err = <-done:
		}
		if ctx.Err() != nil {
			t.Fatal("it goes on for nobody")
		}
		var conflict *launcher.ConflictError
		if !errors.As(err, &conflict) {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
	gone(t, cfg, nil)
}

func TestDownAnswersWhenAllIsGone(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	s := c.status()
	if _, err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, c.cfg, pids(s))
	if err := c.waitEnd(); err != nil {
		t.Error(err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, launcher.ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestNodeThatDoesNotStart(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.NodeArgs = []string{"--fake-fail", "n2"}
	err := run(t, cfg).waitEnd()
	var start *launcher.StartError
	if !errors.As(err, &start) || start.Name != "n2" {
		t.Fatalf("Run gives %v", err)
	}
	for _, words := range []string{"n2 exited (code 1) while starting", "my disk is on fire", "dengine-node: cannot open the data folder"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not in %q", words, err)
		}
	}
	gone(t, cfg, nil)
	if left := children(t, cfg.NodeBin, cfg.PortOffset); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// children finds processes of a program that were started with a port offset.
func children(t *testing.T, program string, offset int) []int {
	t.Helper()
	var out []int
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("127.0.0.1:%d", 9081+offset)
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(line), program+"\x00") && strings.Contains(string(line), mark) {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			out = append(out, pid)
		}
	}
	return out
}

func TestClusterThatIsNotReadyInTime(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Wait = 10e9 // the others are ready by then
	cfg.NodeArgs = []string{"--fake-never-ready", "n3"}
	err := run(t, cfg).waitEnd()
	if err == nil || !strings.Contains(err.Error(), "not ready after 10s (--wait): n3 is not ready") {
		t.Errorf("Run gives %v", err)
	}
	gone(t, cfg, nil)
}

func TestEndWhileStarting(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*cluster){
		"context": func(c *cluster) { c.cancel() },
		"down": func(c *cluster) {
			if _, err := c.Down(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.NodeArgs = []string{"--fake-never-ready", "n3"}
			c := run(t, cfg)
			eventually(t, "the nodes are started", func() bool {
				s, err := c.Status(t.Context())
				return err == nil && s.Nodes[2].PID != 0 && s.Nodes[2].Role != ""
			})
			c.refused(launcher.ActionKill, "n1", "still starting")
			end(c)
			if err := c.waitEnd(); err != nil {
				t.Error(err)
			}
			gone(t, cfg, nil)
		})
	}
}

func TestEveryPortConflictIsListed(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var held []string
	for _, base := range []int{8080, 8082, 9083, 10001} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+cfg.PortOffset))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		held = append(held, l.Addr().String())
	}
	err := run(t, cfg).waitEnd()
	var conflict *launcher.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Conflicts) != len(held) {
		t.Fatalf("Run gives %v", err)
	}
	me := fmt.Sprintf("(pid %d)", os.Getpid())
	for i, want := range []string{held[1] + " (HTTP of n2)", held[3] + " (health of n1)", held[2] + " (Raft of n3)", held[0] + " (HTTP of the balancer)"} {
		if !strings.Contains(err.Error(), want+": held by ") || !strings.Contains(err.Error(), me) {
			t.Errorf("conflict %d: %q and %q are not in:\n%v", i, want, me, err)
		}
	}
	if !strings.Contains(err.Error(), "nothing was started") || !strings.Contains(err.Error(), "--port-offset") {
		t.Errorf("no hint in:\n%v", err)
	}
	gone(t, cfg, nil)
}

func TestNodesThatIgnoreSIGTERMAreKilled(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) {
		cfg.NodeArgs = []string{"--fake-deaf", "n2"}
		cfg.Grace = 3e8
	})
	if m := c.do(launcher.ActionStop, "n2"); !strings.Contains(m, "SIGKILL") {
		t.Errorf("stop says %q", m)
	}
	c.do(launcher.ActionStart, "n2")
	s := c.status()
	c.cancel()
	if err := c.waitEnd(); err != nil {
		t.Error(err)
	}
	gone(t, c.cfg, pids(s))
}

func TestNowEndsWithoutGrace(t *testing.T) {
	t.Parallel()
	now := make(chan struct{})
	c := up(t, func(cfg *launcher.Config) {
		cfg.NodeArgs = []string{"--fake-deaf", "n2"}
		cfg.Grace = 3600e9
		cfg.Now = now
	})
	s := c.status()
	c.cancel()
	eventually(t, "all but the deaf node have ended", func() bool { return !lives(s.Nodes[0].PID) && !lives(s.Balancer.PID) })
	if c.hasEnded() || !lives(s.Nodes[1].PID) {
		t.Error("it did not wait for the deaf node")
	}
	close(now)
	if err := c.waitEnd(); err != nil {
		t.Error(err)
	}
	gone(t, c.cfg, pids(s))
}

// stuckTerminal takes the table, and then holds whoever writes.
type stuckTerminal struct {
	ready, release chan struct{}
}

func (s stuckTerminal) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "is ready after") {
		close(s.ready)
		return len(p), nil
	}
	<-s.release
	return len(p), nil
}

func TestOutputThatIsStuckHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for range 5 { // another test may take a port meanwhile
		cfg := config(t)
		cfg.Nodes = 1
		out := stuckTerminal{make(chan struct{}), make(chan struct{})}
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		go func() { done <- launcher.Run(ctx, cfg, out, zap.NewNop()) }()
		var err error
		select {
		case <-out.ready:
			cancel()
			end := time.NewTimer(deadline)
			defer end.Stop()
			select {
			case err = <-done:
			case <-end.C:
				t.Error("it never ends")
				close(out.release)
				<-done
				return
			}
		case err = <-done:
		}
		close(out.release)
		var conflict *launcher.ConflictError
		if errors.As(err, &conflict) {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		gone(t, cfg, nil)
		return
	}
	t.Fatal("ports are taken again and again")
}
