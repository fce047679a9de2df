// Package rules holds the tests that keep the shape of the repository.
package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const (
	module = "github.com/dengine/dengine/"
	raft   = "github.com/hashicorp/raft"
	cliLib = "github.com/urfave/cli"
)

// rule forbids packages under one folder to depend on something, directly or
// through others.
type rule struct {
	folder string
	never  []string // import path prefixes
	why    string
}

var importRules = []rule{
	{"healthcheck", []string{module, raft, cliLib}, "the role contract stands alone: any service and any balancer can use it, without Raft and without each other"},
	{"internal/edge", []string{module, raft, cliLib}, "the strict edge is shared by nodes and the balancer, so it may know neither"},
	{"internal/settings", []string{module, raft}, "settings serve every program, so they may know none"},
	{"node", []string{module + "lb", module + "launcher", module + "internal/settings", cliLib}, "a node is embedded in other people's programs: it knows neither who balances it, nor who starts it, nor a command line"},
	{"node/internal/kv", []string{module, raft, "go.uber.org/zap", "net", "os", "time", "math/rand"}, "the state machine is pure: no clock, no I/O, no Raft, or nodes drift apart"},
	{"lb", []string{module + "node", module + "launcher", module + "internal/settings", raft, cliLib}, "the balancer knows nodes only as HTTP addresses, so that any service can take their place"},
	{"launcher", []string{module + "node", module + "lb", module + "internal/settings", raft, cliLib}, "the launcher knows nodes and the balancer only as programs, so that HAProxy can take the balancer's place"},
	{"cmd/dengine-node", []string{module + "lb", module + "launcher", module + "cmd"}, "a program wires its own package and no other"},
	{"cmd/dengine-lb", []string{module + "node", module + "launcher", module + "cmd", raft}, "a program wires its own package and no other"},
	{"cmd/dengine-up", []string{module + "node", module + "lb", module + "cmd", raft}, "a program wires its own package and no other"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImports(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, r := range importRules {
		found := false
		for _, p := range packages {
			if p.ImportPath != module+r.folder && (r.folder == "node/internal/kv" || !strings.HasPrefix(p.ImportPath, module+r.folder+"/")) {
				continue
			}
			found = true
			for _, dep := range r.broken(p) {
				t.Errorf("%s depends on %s: %s", strings.TrimPrefix(p.ImportPath, module), dep, r.why)
			}
		}
		if !found {
			t.Errorf("no package under %s: the rule guards nothing", r.folder)
		}
	}
}

// broken lists what a package depends on against the rule. What is in its own
// folder is its own; the standard library counts where it is imported directly.
func (r rule) broken(p pkg) []string {
	var out []string
	for _, never := range r.never {
		deps := p.Deps
		if !strings.Contains(never, ".") {
			deps = p.Imports
		}
		for _, d := range deps {
			own := d == module+r.folder || strings.HasPrefix(d, module+r.folder+"/")
			if !own && strings.HasPrefix(d+"/", strings.TrimSuffix(never, "/")+"/") {
				out = append(out, d)
			}
		}
	}
	return out
}

// A rule that nothing can break is no rule.
func TestRulesCanBreak(t *testing.T) {
	t.Parallel()
	for _, r := range importRules {
		for _, never := range r.never {
			bad := strings.TrimSuffix(never, "/")
			p := pkg{ImportPath: module + r.folder, Imports: []string{bad}, Deps: []string{bad}}
			if len(r.broken(p)) == 0 {
				t.Errorf("%s may depend on %s unseen", r.folder, never)
			}
		}
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
