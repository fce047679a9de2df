package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// linearizable is the promise of most rounds here.
var linearizable = Promise{Level: "linearizable"}

// The short version of "make chaos": every nemesis once, and two at once, on three
// nodes. At its end a node is killed that no nemesis has killed, which must be seen.
func TestEveryNemesis(t *testing.T) {
	t.Parallel()
	c := Setup{Promise: linearizable, Nemeses: Faults()}.Cluster(t)
	keepsDown(t, c)
	for _, f := range Faults() {
		row := run(t, c, Setup{Promise: linearizable, Nemeses: []Fault{f}, Lasts: time.Second, Seed: seed})
		if row.Verdict != Kept {
			t.Errorf("%+v", row)
		}
	}
	row := run(t, c, Setup{Promise: linearizable, Nemeses: named(t, "kill-any", "two-way"), Lasts: 6 * time.Second, Seed: seed})
	if row.Verdict != Kept || row.Elections == 0 {
		t.Errorf("%+v", row)
	}
	murder := Fault{Name: "murder", most: ms, strike: func(f *field, d *dice) (string, func()) {
		f.any(d).Kill()
		return "killed behind the back of others", func() {}
	}}
	row = run(t, c, Setup{Promise: linearizable, Nemeses: []Fault{murder}, Lasts: time.Second, Seed: seed, Evidence: t.TempDir()})
	if !strings.Contains(row.Verdict, "ended by itself") || row.Evidence == "" {
		t.Errorf("a node that ended by itself was not seen: %+v", row)
	}
}

// Nemeses are found by their names, in the words of those who choose them.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	var seen []string
	for _, f := range Faults() {
		if f.Name == "" || f.What == "" || slices.Contains(seen, f.Name) || strings.ContainsAny(f.Name, "+, ") || f.most <= f.least {
			t.Errorf("%+v", f)
		}
		seen = append(seen, f.Name)
	}
}

// In a ring each node hears two others, in both directions; of three, one hears two.
func TestRing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ring string
		want map[string]string // who does not hear whom
	}{
		{"a b c", map[string]string{"a": "c", "c": "a"}},
		{"a b c d e", map[string]string{"a": "c d", "b": "d e", "c": "a e", "d": "a b", "e": "b c"}},
	} {
		got := map[string][]string{}
		for _, l := range acrossRing(strings.Fields(tt.ring)) {
			got[l.To] = append(got[l.To], l.From)
		}
		for who, from := range got {
			slices.Sort(from)
			if strings.Join(from, " ") != tt.want[who] {
				t.Errorf("%s: %s does not hear %v, want %s", tt.ring, who, from, tt.want[who])
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v", tt.ring, got)
		}
	}
}

// keepsDown has two keep the same node down: it runs when both are done with it.
func keepsDown(t *testing.T, c *harness.Cluster) {
	t.Helper()
	f, p := newField(t, c), c.Nodes[0]
	one, other := f.keepDown(sigkill, p), f.keepDown(sigkill, p)
	if one(); p.Running() {
		t.Error("it runs, though one still keeps it down")
	}
	if err := f.mend(); err == nil || p.Running() {
		t.Errorf("it was mended, though it is kept down: %v", err)
	}
	if other(); !p.Running() {
		t.Error("nobody keeps it down, and it does not run")
	}
	if f.whole(); f.finding() != "" {
		t.Error(f.finding())
	}
}

// A panic is told from a message that speaks of one.
func TestPanicked(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]bool{
		"error: it is damaged":                      false,
		"node stops\npanic: page 7 already freed\n": true,
		"unexpected fault address 0x7f\nfatal error: fault\n[signal SIGBUS: bus error": true,
		`{"msg":"a panic: of others"}`: false,
	} {
		if got := panicked(log); got != want {
			t.Errorf("%q: %v", log, got)
		}
	}
}
