package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// Parts are chosen by their own name or by those of their groups, and which of them
// are whole is known.
func TestChooseParts(t *testing.T) {
	t.Parallel()
	all := []part{
		{name: "a", groups: []group{{name: "a1"}, {name: "a2"}}},
		{name: "b", groups: []group{{name: "b1"}, {name: "b2"}}},
	}
	for list, want := range map[string]string{
		"":         "a: a1 a2; b: b1 b2",
		"b":        "b: b1 b2",
		"b2":       "b, not whole: b2",
		"a2,b":     "a, not whole: a2; b: b1 b2",
		"b1,a1,a2": "a, not whole: a1 a2; b, not whole: b1",
		"b,b1":     "b: b1 b2",
	} {
		chosen, err := choose(list, all)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		var got []string
		for _, p := range chosen {
			line := p.name
			if p.chosen {
				line += ", not whole"
			}
			line += ":"
			for _, g := range p.groups {
				line += " " + g.name
			}
			got = append(got, line)
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%q: %s, want %s", list, text, want)
		}
	}
	if len(all[0].groups) != 2 || all[0].groups[1].name != "a2" {
		t.Errorf("choosing changed what there is: %+v", all[0].groups)
	}
	if _, err := choose("a,c", all); err == nil || !strings.Contains(err.Error(), `no "c", but a, a1, a2, b, b1, b2`) {
		t.Errorf("got %v", err)
	}
}

// Names that choose are not shared by two parts or groups.
func TestNamesOfParts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	note := func(name string) {
		if seen[name] {
			t.Errorf("%s is the name of two", name)
		}
		seen[name] = true
	}
	for _, p := range parts([]int{1000}) {
		note(p.name)
		for _, g := range p.groups {
			note(g.name)
		}
	}
}

// The figures in bench/README.md are those of the results beside it: nobody changed
// them by hand, and none are of another run.
func TestREADMEIsOfTheResults(t *testing.T) {
	t.Parallel()
	for _, p := range parts([]int{1000}) {
		want := "" // before it was measured
		r, err := benchmark.ReadResult(p.file(options{out: filepath.Join("..", "results")}))
		switch {
		case err == nil:
			want = p.text(r)
		case !errors.Is(err, fs.ErrNotExist):
			t.Error(err)
		}
		if err := benchmark.SameSection(filepath.Join("..", "README.md"), p.name, want); err != nil {
			t.Errorf("%v; make bench REDRAW=1 writes the sections anew", err)
		}
	}
}

// Results of some groups do not take the place of those of all, which the README shows.
func TestFilesOfResults(t *testing.T) {
	t.Parallel()
	o := options{out: "results"}
	for _, p := range parts([]int{1000}) {
		some := p
		some.chosen = true
		if whole := p.file(o); whole != filepath.Join("results", p.name+".json") || some.file(o) == whole {
			t.Errorf("%s and %s", whole, some.file(o))
		}
	}
}

// Everything that was spoiled is told, and what ended a group, each once.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		problem string
		spoiled []string
		want    string
	}{
		{"", nil, ""},
		{"no nginx\nits log", nil, "no nginx"},
		{"*** NOT MEASURED: a", []string{"a", "b"}, "a; b"},
		{"*** NOT MEASURED: a, a line\nand its log", []string{"a, a line\nand its log"}, "a, a line"},
		{"warm up", []string{"a"}, "warm up; a"},
	} {
		if got := strings.Join(reasons(tt.problem, tt.spoiled), "; "); got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.problem, tt.spoiled, got, tt.want)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]options{
		"make bench RUNS=5":                      {runs: 5},
		"make bench SECONDS=1 RUNS=2 ONLY=proxy": {seconds: 1, runs: 2, only: "proxy"},
	} {
		if got := o.command(); got != want {
			t.Errorf("%s, want %s", fmt.Sprintf("%q", got), want)
		}
	}
}
