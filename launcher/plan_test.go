package launcher_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/dengine/dengine/launcher"
)

var programs = launcher.Programs{Node: "/bin/dengine-node", Balancer: "/bin/front"}

// planText shows a plan as a person would check it.
func planText(p launcher.Plan) string {
	var b strings.Builder
	show := func(q launcher.Process) {
		fmt.Fprintf(&b, "\n%s: %s\n", q.Name, q.Path)
		for i := 0; i < len(q.Args); i++ {
			b.WriteString("    " + q.Args[i])
			if i+1 < len(q.Args) && strings.HasPrefix(q.Args[i], "-") && !strings.HasPrefix(q.Args[i+1], "-") {
				i++
				b.WriteString(" " + q.Args[i])
			}
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "    > %s\n", q.LogFile)
	}
	fmt.Fprintf(&b, "folder %s\n", p.Dir)
	for _, a := range p.Addresses() {
		fmt.Fprintf(&b, "%-16s %s\n", a.Addr, a.Purpose)
	}
	for _, n := range p.Nodes {
		show(n.Process)
	}
	if p.Front != nil {
		show(p.Front.Process)
		if p.Front.Config != "" {
			fmt.Fprintf(&b, "\n%s:\n%s", p.Front.ConfigFile, p.Front.Config)
		}
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*launcher.Config){
		"3":       func(c *launcher.Config) {},
		"5":       func(c *launcher.Config) { c.Nodes = 5 },
		"7":       func(c *launcher.Config) { c.Nodes = 7 },
		"1-none":  func(c *launcher.Config) { c.Nodes, c.Balancer = 1, launcher.BalancerNone },
		"offset":  func(c *launcher.Config) { c.PortOffset, c.LogLevel = 100, "debug" },
		"haproxy": func(c *launcher.Config) { c.Balancer = launcher.BalancerHAProxy },
		"args":    func(c *launcher.Config) { c.NodeArgs = []string{"--heartbeat-timeout=1s", "--tick"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := launcher.DefaultConfig()
			cfg.Nodes, cfg.Socket = 3, "/run/s"
			change(&cfg)
			p, err := launcher.NewPlan(cfg, "/data", programs)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "plan-"+name+".golden", planText(p))
		})
	}
}

func TestPlanHasNoPortTwice(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 3, 5, 7} {
		cfg := launcher.DefaultConfig()
		cfg.Nodes, cfg.Socket, cfg.PortOffset = nodes, "/run/s", launcher.MaxPortOffset
		p, err := launcher.NewPlan(cfg, "/data", programs)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]string)
		for _, a := range p.Addresses() {
			if other := seen[a.Addr]; other != "" {
				t.Errorf("%d nodes: %s is %s and %s", nodes, a.Addr, other, a.Purpose)
			}
			seen[a.Addr] = a.Purpose
		}
	}
}

func TestConfigIsRefusedWithTheFieldAndTheValue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		change func(*launcher.Config)
		says   string
	}{
		{func(c *launcher.Config) { c.Nodes = 2 }, "2 nodes: must be 1, 3, 5 or 7; an even number survives no more crashes than 1"},
		{func(c *launcher.Config) { c.Nodes = 4 }, "4 nodes"},
		{func(c *launcher.Config) { c.Nodes = 9 }, "9 nodes: must be 1, 3, 5 or 7"},
		{func(c *launcher.Config) { c.Nodes = -1 }, "-1 nodes"},
		{func(c *launcher.Config) { c.PortOffset = -1 }, "port offset -1"},
		{func(c *launcher.Config) { c.PortOffset = launcher.MaxPortOffset + 1 }, "must be from 0 to"},
		{func(c *launcher.Config) { c.Wait = 0 }, "wait 0s"},
		{func(c *launcher.Config) { c.Grace = 0 }, "grace 0s"},
		{func(c *launcher.Config) { c.Socket = "" }, "socket"},
		{func(c *launcher.Config) { c.Socket = "/" + strings.Repeat("x", 120) }, "too long"},
		{func(c *launcher.Config) { c.Balancer = "nginx" }, `balancer "nginx"`},
		{func(c *launcher.Config) { c.LogLevel = "loud" }, `log level "loud"`},
	} {
		cfg := launcher.DefaultConfig()
		cfg.Socket = "/run/s"
		tc.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q does not say %q", err, tc.says)
		}
	}
	cfg := launcher.DefaultConfig()
	cfg.Socket = "/run/s"
	if err := cfg.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestFindProgram(t *testing.T) {
	t.Parallel()
	exe := fakes + "/dengine-up"
	path, err := launcher.FindProgram("dengine-node", exe, "--node-bin", "")
	if err != nil || path != fakes+"/dengine-node" {
		t.Errorf("beside the program: %q, %v", path, err)
	}
	path, err = launcher.FindProgram("sh", exe, "--node-bin", "")
	if want, _ := exec.LookPath("sh"); err != nil || path != want {
		t.Errorf("in PATH: %q, %v", path, err)
	}
	path, err = launcher.FindProgram("dengine-node", exe, "--node-bin", fakes+"/dengine-lb")
	if err != nil || path != fakes+"/dengine-lb" {
		t.Errorf("by flag: %q, %v", path, err)
	}
	_, err = launcher.FindProgram("dengine-nothing", exe, "--node-bin", "")
	if err == nil || !strings.Contains(err.Error(), `"make build"`) || !strings.Contains(err.Error(), "--node-bin") {
		t.Errorf("nowhere: %v", err)
	}
	if _, err = launcher.FindProgram("sh", exe, "--node-bin", "/nowhere/x"); err == nil || !strings.Contains(err.Error(), "--node-bin /nowhere/x") {
		t.Errorf("by a flag that is wrong: %v", err)
	}
}
