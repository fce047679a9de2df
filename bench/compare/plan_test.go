package main

import (
	"io"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// Floors are those of the issue: a plan that lost one would promise less unseen.
func TestPromises(t *testing.T) {
	t.Parallel()
	floors := 0
	seen := map[string]bool{}
	for _, p := range readPromises() {
		if p.AtLeast > 0 || p.AtMost > 0 {
			floors++
		}
		name := benchmark.Key{What: p.What, Connections: p.Of.Connections}.String()
		if seen[name] {
			t.Errorf("%s is promised twice", name)
		}
		seen[name] = true
	}
	if want := 4*len(connections) + 7; floors != want {
		t.Errorf("%d floors, want %d", floors, want)
	}
}

func TestValueIsAsLongAsSaid(t *testing.T) {
	t.Parallel()
	if valueBytes != 256 {
		t.Errorf("values have %d B, want 256", valueBytes)
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--only nonsense":       `there is no "nonsense", but reads, levels, lease`,
		"--runs 0":              "--runs 0",
		"--seconds 31":          "--seconds 31",
		"--redraw --only reads": "leave --only out",
		"extra":                 `"extra"`,
	} {
		var stderr strings.Builder
		if code := run(strings.Fields(args), io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", args, code, stderr.String(), want)
		}
	}
}
