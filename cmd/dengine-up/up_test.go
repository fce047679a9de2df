package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/launcher"
)

func TestKillNineLeavesNoProcess(t *testing.T) {
	t.Parallel()
	p := up(t, "--nodes", "5")
	pids := p.pids()
	if _, errs, code := p.ask("pause", "n2"); code != 0 { // SIGKILL reaches a paused process as well
		t.Fatal(errs)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every process has ended", func() bool {
		for _, pid := range pids {
			if lives(pid) {
				return false
			}
		}
		return true
	})
	p.wait()
	if _, errs, code := p.ask("status"); code != 1 || !strings.Contains(errs, "no dengine-up is running") {
		t.Errorf("status afterwards: exit %d, %s", code, errs)
	}

	// The next run takes the same ports and socket, and removes what was left.
	left, _ := filepath.Glob(filepath.Join(p.dir, "dengine-up-*"))
	if len(left) != 1 {
		t.Fatalf("temporary folders: %v", left)
	}
	next := &program{t: t, dir: p.dir, offset: p.offset, out: &output{}, errs: &output{}}
	cmd := command(t, p.dir, p.offset)
	cmd.Stdout, cmd.Stderr = next.out, next.errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	eventually(t, "the next run is ready", func() bool { return strings.Contains(next.out.String(), "are ready after") })
	if _, err := os.Stat(left[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left", left[0])
	}
}

func TestSignalsEndEverything(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(sig) {
				t.Skipf("NOT TESTED: the tests were started with %v ignored, by nohup perhaps, and so are their children", sig)
			}
			p := up(t)
			pids := p.pids()
			p.cmd.Process.Signal(sig)
			if code := p.wait(); code != 0 {
				t.Errorf("exit %d: %s", code, p.errs)
			}
			p.empty(pids)
			if p.errs.String() != "" {
				t.Errorf("stderr: %s", p.errs)
			}
		})
	}
}

func TestSecondCtrlCKillsAtOnce(t *testing.T) {
	t.Parallel()
	p := up(t, "--node-arg", "--fake-deaf=n2")
	s := p.status()
	pids := p.pids()
	p.cmd.Process.Signal(os.Interrupt)
	eventually(t, "the other nodes have ended", func() bool { return !lives(s.Nodes[0].PID) && !lives(s.Nodes[2].PID) })
	if !lives(s.Nodes[1].PID) {
		t.Error("the deaf node was not waited for")
	}
	p.cmd.Process.Signal(os.Interrupt)
	within(t, 9*time.Second, "dengine-up has ended", p.ended) // the grace is 10 s
	if code := p.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	p.empty(pids)
}

func TestDown(t *testing.T) {
	t.Parallel()
	p := up(t)
	pids := p.pids()
	if out, errs, code := p.ask("down"); code != 0 || out != "everything has ended\n" {
		t.Errorf("down: exit %d, %s%s", code, out, errs)
	}
	p.empty(pids)
	if code := p.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	_, errs, code := p.ask("down")
	if want := fmt.Sprintf("; start one with: %s --port-offset %d\n", p.cmd.Path, p.offset); code != 1 || !strings.HasPrefix(errs, "dengine-up: no dengine-up is running (socket ") || !strings.HasSuffix(errs, want) {
		t.Errorf("a second down: exit %d, %s", code, errs)
	}
}

// A reader that goes away is a Ctrl-C too: "dengine-up | head".
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: tempDir(t), offset: freeOffset(t)}
	cmd := command(t, p.dir, p.offset)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "(or Ctrl-C here)") {
	}
	pids := p.pids()
	out.Close()
	eventually(t, "something to tell", func() bool { _, _, code := p.ask("kill", "leader"); return code == 0 })
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(deadline):
		t.Fatal("it goes on for nobody")
	}
	p.empty(pids)
}

func TestFailoverIsOneLine(t *testing.T) {
	t.Parallel()
	p := up(t)
	before := len(p.out.String())
	out, errs, code := p.ask("kill", "leader")
	leader, _, named := strings.Cut(out, " (pid ")
	if code != 0 || !named || strings.Count(out, "\n") != 1 {
		t.Errorf("kill leader: exit %d, %s%s", code, out, errs)
	}
	// A busy machine may elect more than once, or so late that it says so before.
	told := regexp.MustCompile(`(?m)^[0-9:]+ ` + leader + ` died \(SIGKILL\); (no leader yet\n[0-9:]+ )?n[1-3] leads in term \d+; no leader for .+$`)
	eventually(t, "the change is told", func() bool { return told.MatchString(p.out.String()[before:]) })
	if n := strings.Count(p.out.String()[before:], leader+" died"); n != 1 {
		t.Errorf("it says %d times: %s", n, p.out.String()[before:])
	}
	// What the answer says brings it back.
	_, back, _ := strings.Cut(strings.TrimSpace(out), "start it again with: ")
	cmd := exec.Command("sh", "-c", back)
	cmd.Env = append(os.Environ(), "TMPDIR="+p.dir, "XDG_RUNTIME_DIR=")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte(leader+" was started")) {
		t.Errorf("%s: %v, %s", back, err, out)
	}
}

func TestPastedCommandsWork(t *testing.T) {
	t.Parallel()
	p := up(t)
	for _, row := range []struct{ name, want string }{
		{"write", "200"},
		{"read", `{"value":"alice"}`},
		{"look", "leads in term"},
		{"crash the leader", "was killed"},
		{"bring it back", "was started"},
	} {
		_, line, _ := strings.Cut(p.out.String(), "\n  "+row.name+"  ")
		line, _, _ = strings.Cut(line, "\n")
		var out []byte
		var err error
		works := func() bool {
			cmd := exec.Command("sh", "-c", line)
			cmd.Env = append(os.Environ(), "TMPDIR="+p.dir, "XDG_RUNTIME_DIR=")
			out, err = cmd.Output()
			return err == nil && strings.Contains(string(out), row.want)
		}
		if row.name == "look" { // on a busy machine the leader may take longer to answer than a status waits
			eventually(t, "a leader in the status", works)
		} else if !works() {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
}

func TestEventsAsJSON(t *testing.T) {
	t.Parallel()
	p := up(t, "--json")
	p.ask("kill", "leader")
	eventually(t, "a change of leader", func() bool { return p.ended() || strings.Contains(p.out.String(), `"event":"leader"`) })
	p.ask("down")
	p.wait()
	var kinds []string
	for line := range strings.Lines(p.out.String()) {
		var e launcher.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if e.Kind != launcher.EventNoLeader {
			kinds = append(kinds, string(e.Kind))
		}
	}
	// A busy machine may elect more than once, or so late that it says so before.
	if got := strings.Join(slices.Compact(kinds), " "); got != "ready leader stopping stopped" {
		t.Errorf("events: %s", got)
	}
}

func TestStatusAndLogs(t *testing.T) {
	t.Parallel()
	p := up(t)
	out, _, code := p.ask("status")
	if code != 0 || !strings.HasPrefix(out, "NAME ") || strings.Count(out, "running") != 4 || !strings.Contains(out, "3 of 3 nodes run") {
		t.Errorf("status: exit %d\n%s", code, out)
	}
	if out, _, code = p.ask("logs", "n1", "-n", "1"); code != 0 || !strings.Contains(out, `"starting"`) {
		t.Errorf("logs: exit %d\n%s", code, out)
	}
	watch := command(t, p.dir, p.offset, "status", "--watch")
	seen := &output{}
	watch.Stdout = seen
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status twice", func() bool { return strings.Count(seen.String(), "NAME ") >= 2 })
	watch.Process.Signal(os.Interrupt)
	if err := watch.Wait(); err != nil {
		t.Errorf("status --watch after Ctrl-C: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: tempDir(t), offset: 1}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"--nodes", "4"}, "4 nodes: must be 1, 3, 5 or 7"},
		{[]string{"--lb", "nginx"}, `balancer "nginx"`},
		{[]string{"--bogus"}, "bogus"},
		{[]string{"--nodes", "x"}, `invalid value "x" for flag -nodes`},
		{[]string{"explode"}, `unknown command "explode"`},
		{[]string{"kill"}, "kill needs one name"},
		{[]string{"kill", "n1", "n2"}, "kill needs one name"},
		{[]string{"kill", "n1"}, "no dengine-up is running"},
		{[]string{"status"}, "no dengine-up is running"},
		{[]string{"logs"}, "no dengine-up is running"},
		{[]string{"logs", "-n", "-1"}, "--lines -1"},
		{[]string{"down", "n1"}, "stop ends one process"},
		{[]string{"--node-bin", "/nowhere/node"}, "--node-bin /nowhere/node"},
		{[]string{"--socket", "/" + strings.Repeat("x", 200)}, "too long"},
	} {
		out, errs, code := p.ask(tc.args...)
		if code != 1 || !strings.HasPrefix(errs, "dengine-up: ") || !strings.Contains(errs, tc.says) || out != "" {
			t.Errorf("%q: exit %d\nstdout: %s\nstderr: %s", tc.args, code, out, errs)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: tempDir(t), offset: 1}
	out, errs, code := p.ask("--help")
	if code != 0 || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, word := range []string{"--nodes", "--data-dir", "--port-offset", "--wait", "--log-level", "--json", "--lb", "--socket", "--node-arg", "status", "kill", "resume", "logs", "down"} {
		if !strings.Contains(out, word) {
			t.Errorf("--help does not name %s", word)
		}
	}
}

func TestFailedStartExitsWithOne(t *testing.T) {
	t.Parallel()
	var p *program
	for range 5 { // another test may take a port meanwhile
		p = start(t, "--node-arg=--fake-fail=n2")
		if code := p.wait(); code != 1 {
			t.Errorf("exit %d", code)
		}
		if !strings.Contains(p.errs.String(), "in use") {
			break
		}
	}
	if errs := p.errs.String(); !strings.HasPrefix(errs, "dengine-up: n2 exited (code 1) while starting; its last lines:\n") || !strings.Contains(errs, "my disk is on fire") {
		t.Errorf("stderr: %s", errs)
	}
	p.empty(nil)
}

// nohup asks to outlive the terminal.
func TestIgnoredHangupIsNoEnd(t *testing.T) {
	t.Parallel()
	p := &program{t: t, dir: tempDir(t), offset: freeOffset(t), out: &output{}, errs: &output{}}
	plain := command(t, p.dir, p.offset)
	cmd := exec.Command("nohup", plain.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = plain.Env, p.out, p.errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	eventually(t, "ready", func() bool { return strings.Contains(p.out.String(), "are ready after") })
	cmd.Process.Signal(syscall.SIGHUP)
	if out, errs, code := p.ask("restart", "n2"); code != 0 {
		t.Errorf("after a hangup: exit %d, %s%s", code, out, errs)
	}
	if regexp.MustCompile(`(?m)^[0-9:]+ stopping$`).MatchString(p.out.String()) {
		t.Errorf("it ends:\n%s", p.out)
	}
}
