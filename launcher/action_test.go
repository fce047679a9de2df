package launcher_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/launcher"
)

func TestKillAndStart(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) { cfg.NodeArgs = []string{"--fake-slow", "n2"} })
	for _, name := range []string{"n2", "lb"} {
		before := c.process(name)
		message := c.do(launcher.ActionKill, name)
		if !strings.Contains(message, name) || !strings.Contains(message, "start "+name) {
			t.Errorf("the answer %q does not say what and how to undo it", message)
		}
		if lives(before.PID) {
			t.Errorf("%s was said to be killed, and lives", name)
		}
		if p := c.process(name); p.State != launcher.StateKilled || p.PID != 0 || p.Exit == nil || p.Exit.Signal != "SIGKILL" {
			t.Errorf("%+v", p)
		}
		for _, action := range []launcher.Action{launcher.ActionKill, launcher.ActionStop, launcher.ActionPause, launcher.ActionResume} {
			c.refused(action, name, name+" does not run", "start "+name)
		}
		c.do(launcher.ActionStart, name)
		after := c.process(name)
		if after.State != launcher.StateRunning || after.PID == before.PID || !lives(after.PID) {
			t.Errorf("%+v", after)
		}
		for _, n := range c.status().Nodes {
			if !n.Ready {
				t.Errorf("%s was started, and %s is not ready: %s", name, n.Name, n.Reason)
			}
		}
		c.refused(launcher.ActionStart, name, name+" runs already")
	}
}

func TestStopAndRestart(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	for _, name := range []string{"n3", "lb"} {
		before := c.process(name)
		c.do(launcher.ActionRestart, name)
		after := c.process(name)
		if lives(before.PID) || !lives(after.PID) || after.PID == before.PID {
			t.Errorf("restart: %+v, then %+v", before, after)
		}
		c.do(launcher.ActionStop, name)
		if p := c.process(name); lives(after.PID) || p.State != launcher.StateExited || p.Exit.Code != 0 {
			t.Errorf("stop: %+v", p)
		}
		c.do(launcher.ActionRestart, name)
		if p := c.process(name); p.State != launcher.StateRunning {
			t.Errorf("restart of one that was stopped: %+v", p)
		}
	}
}

func TestPausedProcesses(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) { cfg.Nodes = 5 })
	for _, name := range []string{"n2", "lb"} {
		c.refused(launcher.ActionResume, name, "not paused")
		before := c.process(name)
		c.do(launcher.ActionPause, name)
		if p := c.process(name); p.State != launcher.StatePaused || p.PID != before.PID || !stopped(p.PID) {
			t.Errorf("paused: %+v, stopped: %v", p, stopped(p.PID))
		}
		c.refused(launcher.ActionPause, name, "paused already", "resume "+name)
		c.refused(launcher.ActionStart, name, "runs already")
		c.do(launcher.ActionResume, name)
		if p := c.process(name); p.State != launcher.StateRunning || stopped(p.PID) {
			t.Errorf("resumed: %+v", p)
		}
	}
	// None of these may hang on a process that gets no signal.
	for action, name := range map[launcher.Action]string{launcher.ActionStop: "n3", launcher.ActionKill: "n4", launcher.ActionRestart: "lb"} {
		c.do(launcher.ActionPause, name)
		pid := c.process(name).PID
		if m := c.do(action, name); lives(pid) || strings.Contains(m, "SIGKILL") {
			t.Errorf("%s of paused %s: lives: %v; %s", action, name, lives(pid), m)
		}
	}
	c.do(launcher.ActionPause, "n5")
	if _, err := c.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.waitEnd(); err != nil {
		t.Error(err)
	}
}

// stopped says whether the kernel has a process stopped.
func stopped(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") T ")
}

func TestRolesAreNames(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	leader := c.leader()
	if m := c.do(launcher.ActionRestart, "follower"); strings.HasPrefix(m, leader) {
		t.Errorf("restart follower: %s, but that leads", m)
	}
	from := len(c.events.all())
	leader = c.leader()
	if m := c.do(launcher.ActionKill, "leader"); !strings.HasPrefix(m, leader+" ") {
		t.Errorf("kill leader: %s, but %s leads", m, leader)
	}
	e := c.event(from, launcher.EventLeader)
	died, message := e, e.Message
	if none, late := c.events.first(from, launcher.EventNoLeader); late { // on a busy machine
		died, message = none, strings.TrimSuffix(none.Message, "no leader yet")+e.Message
	}
	if e.From != leader || e.Leader == leader || e.Leader == "" || died.Exit == nil || died.Exit.Signal != "SIGKILL" {
		t.Errorf("%+v", e)
	}
	if !strings.HasPrefix(message, leader+" died (SIGKILL); "+e.Leader+" leads in term ") || !strings.Contains(message, "; no leader for ") {
		t.Errorf("the line is %q", message)
	}
	if now := c.leader(); now != e.Leader {
		t.Errorf("%s was announced, %s leads", e.Leader, now)
	}
	for _, name := range []string{"leader", "follower"} {
		c.refused(launcher.ActionStart, name, "needs a node's name", "n1, n2, n3, lb")
		c.refused(launcher.ActionResume, name, "needs a node's name")
	}
	c.refused(launcher.ActionKill, "n4", `"n4"`, "n1, n2, n3, lb", "leader and follower")
	c.refused("explode", "n2", "unknown action")
	// Only one follower is left, and after it nobody leads.
	c.do(launcher.ActionKill, "follower")
	c.refused(launcher.ActionKill, "follower", "there is no follower")
}

func TestMajorityLostAndBack(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	c.do(launcher.ActionKill, "n1")
	from := len(c.events.all())
	c.do(launcher.ActionKill, "n2")
	c.event(from, launcher.EventMajorityLost)
	if s := c.status(); s.Quorum.OK || s.Quorum.Running != 1 || s.Quorum.Needed != 2 {
		t.Errorf("%+v", s.Quorum)
	}
	c.do(launcher.ActionKill, "n3")
	if m := c.do(launcher.ActionStart, "n3"); !strings.Contains(m, "no majority yet: 1 of 3 nodes run, 2 must") {
		t.Errorf("a start without a majority says %q", m)
	}
	c.do(launcher.ActionStart, "n1")
	c.event(from, launcher.EventMajorityBack)
	c.leader()
}

// A process that nobody asked to end is told with its last lines.
func TestUnexpectedEnd(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	for _, name := range []string{"n2", "lb"} {
		from := len(c.events.all())
		signal(t, c.process(name).PID)
		var e launcher.Event
		eventually(t, "the end of "+name+" is told", func() bool {
			for _, one := range c.events.all()[from:] {
				if one.Exit != nil && one.Node == name {
					e = one
					return true
				}
			}
			return false
		})
		if e.Start != name || len(e.Log) == 0 || !strings.Contains(strings.Join(e.Log, "\n"), "starting") || e.Exit.Signal != "SIGKILL" {
			t.Errorf("%+v", e)
		}
		if p := c.process(name); p.State != launcher.StateKilled {
			t.Errorf("nothing is started again by itself: %+v", p)
		}
		c.do(launcher.ActionStart, name)
	}
}

// A node that cannot start answers with its last lines, and the rest goes on.
func TestStartThatFails(t *testing.T) {
	t.Parallel()
	well := ""
	c := up(t, func(cfg *launcher.Config) {
		cfg.DataDir = filepath.Join(filepath.Dir(cfg.Socket), "data")
		well = filepath.Join(cfg.DataDir, "well")
		if err := os.Mkdir(cfg.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(well, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.NodeArgs = []string{"--fake-fail", "n2"}
	})
	if err := os.Remove(well); err != nil {
		t.Fatal(err)
	}
	c.refused(launcher.ActionRestart, "n2", "n2 ended while starting (code 1)", "my disk is on fire", "cannot open the data folder")
	if s := c.status(); s.Quorum.Running != 2 || s.Nodes[1].State != launcher.StateExited {
		t.Errorf("%+v", s)
	}
	if err := os.WriteFile(well, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.do(launcher.ActionStart, "n2")
}
