package chaos

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}

// run runs a short round and reports it.
func run(t *testing.T, c *harness.Cluster, s Setup) Row {
	t.Helper()
	s.Load = DefaultProfile()
	if harness.Race {
		s.Load.PerSecond /= 4
	}
	row := Run(t, c, s)
	t.Logf("%+v", row)
	// Busy machines do less: this only says that there was a load.
	if least := int(float64(s.Load.PerSecond) / 10 * min(1, s.Lasts.Seconds()/6)); row.Operations < least || row.Reads == 0 || row.Reads == row.Operations || row.Faults == 0 {
		t.Errorf("no load to speak of, at least %d operations were wanted: %+v", least, row)
	}
	return row
}

// seed makes the first cut of each kind one that costs the leader its place: a
// fault that has no effect would pass for a promise that was kept.
const seed = 42

// named are faults by their names.
func named(t *testing.T, names ...string) []Fault {
	t.Helper()
	var out []Fault
	for _, n := range names {
		i := slices.IndexFunc(Faults(), func(f Fault) bool { return f.Name == n })
		if i < 0 {
			t.Fatalf("there is no fault %q", n)
		}
		out = append(out, Faults()[i])
	}
	return out
}

// Some faults for ten seconds each, at the levels whose reads are to be the newest.
func TestPromisesAreKept(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"linearizable", "lease"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			keeps(t, Promise{Level: level}, 10*time.Second, named(t, "kill", "pause", "two-way", "one-way"))
		})
	}
}

// Bounded reads are as old as their bound allows, and no older, while nodes hang
// or are cut off.
func TestStalenessIsBounded(t *testing.T) {
	t.Parallel()
	keeps(t, Promise{Level: "eventual", MaxStaleness: 500 * time.Millisecond}, 3*time.Second, named(t, "pause", "two-way", "one-way"))
}

// keeps runs a round for each fault on one cluster.
func keeps(t *testing.T, p Promise, lasts time.Duration, faults []Fault) {
	t.Helper()
	c := Cluster(t, p)
	for _, f := range faults {
		row := run(t, c, Setup{Promise: p, Nemeses: []Fault{f}, Lasts: lasts, Seed: seed})
		if row.Verdict != Kept {
			t.Errorf("%+v", row)
		}
		if row.Elections == 0 {
			t.Errorf("faults without effect: %+v", row)
		}
	}
}

// Eventual reads promise nothing: a harness that finds no fault with them would
// find none with others. What it finds it leaves behind.
func TestViolationIsSeenAndKept(t *testing.T) {
	t.Parallel()
	p, dir := Promise{Level: "eventual"}, t.TempDir()
	s := Setup{Promise: p, Nemeses: named(t, "two-way"), Lasts: 6 * time.Second, Seed: seed, Evidence: dir}
	c, row := Cluster(t, p), Row{Verdict: Kept}
	for range 5 { // a busy machine may read too seldom to find a node behind
		if row.Verdict == Kept {
			row = run(t, c, s)
		}
	}
	if row.Verdict == Kept || filepath.Dir(row.Evidence) != dir {
		t.Fatalf("%+v", row)
	}
	var e evidence
	readJSON(t, filepath.Join(row.Evidence, "round.json"), &e)
	if want := "make chaos ROUNDS=1 LEVEL=eventual FAULTS=two-way NODES=3 STORE=bolt SECONDS=6 SEED=42"; e.Command != want || len(e.Faults) != row.Faults {
		t.Errorf("%+v, want %s", e, want)
	}
	var h []Op
	readJSON(t, filepath.Join(row.Evidence, "history.json"), &h)
	if f := p.check(h, patience); len(h) != row.Operations || f == nil || !strings.HasPrefix(row.Verdict, f.Key) {
		t.Errorf("the history that was kept gives %+v, not %s", f, row.Verdict)
	}
	for _, name := range []string{"picture.html", "n1.log", "n2.log", "n3.log", "lb.log"} {
		if info, err := os.Stat(filepath.Join(row.Evidence, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty: %v", name, err)
		}
	}
}

// A round that cannot be run to its end leaves what there is as well. This one
// cannot be parallel: what a program's processes printed goes where TMPDIR says.
func TestUnfinishedRoundLeavesItsEvidence(t *testing.T) {
	harness.Programs(t) // they outlive this test
	t.Setenv("TMPDIR", t.TempDir())
	p, dir := Promise{Level: "linearizable"}, t.TempDir()
	broken := Fault{Name: "broken", strike: func(f *field, _ *dice) (string, func()) {
		f.t.Fatal("it cannot be caused")
		return "", nil
	}}
	var out bytes.Buffer
	code := harness.Main(&out, func(t *harness.Program) {
		Run(t, Cluster(t, p), Setup{Promise: p, Nemeses: []Fault{broken}, Lasts: time.Second, Load: DefaultProfile(), Evidence: dir})
	})
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if code != 1 || err != nil || len(left) != 1 {
		t.Fatalf("exit %d, left %v (%v):\n%s", code, left, err, out.String())
	}
	var e evidence
	readJSON(t, filepath.Join(left[0], "round.json"), &e)
	var h []Op
	readJSON(t, filepath.Join(left[0], "history.json"), &h)
	if !strings.Contains(e.Verdict, "did not come to its end") || len(h) == 0 {
		t.Errorf("%+v, %d operations", e, len(h))
	}
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
