package main

import (
	"io"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	names := func(args ...string) string {
		t.Helper()
		o, err := parse(args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		setups, err := plan(o)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range setups {
			out = append(out, s.Fault.Name+"/"+s.Front.Name)
		}
		return strings.Join(out, " ")
	}
	if got, want := names("--fault", "rolling,kill-leader", "--front", "caddy,dengine"), "kill-leader/dengine kill-leader/caddy rolling/dengine"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := names(); strings.Contains(got, "mute-leader") || !strings.Contains(got, "disk-hang/dengine") {
		t.Errorf("by default: %s", got)
	}
	if got := names("--fault", "mute-leader"); got != "mute-leader/dengine" {
		t.Errorf("by name: %s", got)
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]int{
		"--fault kill-leader --front dengine,caddy":                           {50, 5},
		"--fault kill-leader --front dengine,caddy --kills 3":                 {3, 3},
		"--fault kill-leader --front dengine,caddy --kills 7 --rival-kills 2": {7, 2},
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		setups, err := plan(o)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range setups {
			if s.Attempts != want[i] {
				t.Errorf("%s: %s: %d attempts, want %d", args, s.Front.Name, s.Attempts, want[i])
			}
		}
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--fault nonsense":              `there is no "nonsense", but none, kill-leader`,
		"--front nginx":                 `there is no "nginx", but dengine`,
		"--kills -1":                    "--kills -1",
		"--fault rolling --front caddy": "nothing to measure",
		"extra":                         `"extra"`,
	} {
		var stderr strings.Builder
		if code := run(strings.Fields(args), io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", args, code, stderr.String(), want)
		}
	}
}
