package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/chaos"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--level lease --nodes 3 --store wal --faults pause --seed 7":                                   "lease/wal/3/pause/7",
		"--level eventual --staleness 1s --nodes 5 --store bolt --faults kill+slow --seed 1":            "eventual, 1s/bolt/5/kill+slow/1",
		"--level linearizable --nodes 3 --store bolt --faults pause,kill,slow+kill --rounds 4 --seed 4": "linearizable/bolt/3/pause/4 linearizable/bolt/3/kill/5 linearizable/bolt/3/kill+slow/6 linearizable/bolt/3/pause/7",
	} {
		var got []string
		for _, s := range planned(t, args) {
			got = append(got, fmt.Sprintf("%s/%s/%d/%s/%d", s.Promise, s.Store, s.Nodes, chaos.Names(s.Nemeses), s.Seed))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// planned is the plan of a command line that is right.
func planned(t *testing.T, args string) []chaos.Setup {
	t.Helper()
	o, err := parse(strings.Fields(args), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	setups, err := plan(o)
	if err != nil {
		t.Fatal(err)
	}
	return setups
}

// Two hundred rounds have every nemesis alone, many pairs, and each setting as often as
// any other; other seeds have other pairs.
func TestPlanOfManyRounds(t *testing.T) {
	t.Parallel()
	alone, pairs, settings := map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range planned(t, "--rounds 200 --seed 1") {
		if name := chaos.Names(s.Nemeses); len(s.Nemeses) == 1 {
			alone[name]++
		} else {
			pairs[name]++
		}
		settings[fmt.Sprint(s.Promise, s.Store, s.Nodes)]++
	}
	if len(alone) != len(chaos.Faults()) || len(pairs) < 20 || len(settings) != 12 {
		t.Errorf("%d nemeses alone, %d pairs, %d settings: %v, %v, %v", len(alone), len(pairs), len(settings), alone, pairs, settings)
	}
	for what, counts := range map[string]map[string]int{"nemesis": alone, "setting": settings} {
		for name, n := range counts {
			if n < 4 {
				t.Errorf("%s %s comes %d times", what, name, n)
			}
		}
	}
	first, other := planned(t, "--rounds 40 --seed 1"), planned(t, "--rounds 40 --seed 2")
	same := 0
	for i := range first {
		if chaos.Names(first[i].Nemeses) == chaos.Names(other[i].Nemeses) {
			same++
		}
	}
	if same > 30 {
		t.Errorf("with another seed %d of 40 rounds have the same nemeses", same)
	}
}

// The command that a failed round prints plans that very round.
func TestCommandPlansTheSameRound(t *testing.T) {
	t.Parallel()
	setups := planned(t, "--level eventual --staleness 250ms --faults two-way,one-way --rounds 4 --seconds 9 --seed 5")
	setups = append(setups, planned(t, "--rounds 70 --seed 99")...)
	flags := strings.NewReplacer("make chaos ", "", "ROUNDS=", "--rounds=", "LEVEL=", "--level=", "FAULTS=", "--faults=",
		"SECONDS=", "--seconds=", "SEED=", "--seed=", "STALENESS=", "--staleness=", "NODES=", "--nodes=", "STORE=", "--store=")
	for _, s := range setups {
		same := planned(t, flags.Replace(s.Command()))
		if len(same) != 1 || same[0].Command() != s.Command() || same[0].Promise != s.Promise || same[0].Lasts != s.Lasts {
			t.Errorf("%s: %+v", s.Command(), same)
		}
	}
}

// What the summary names runs the same rounds.
func TestCommandOfAllRounds(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--rounds 200 --seed 1 --jobs 2": "make chaos ROUNDS=200 SECONDS=60 SEED=1 JOBS=2",
		"--seed 3 --faults kill,kill+slow --level eventual --staleness 1s --nodes 5 --store wal --seconds 5": "make chaos ROUNDS=0 SECONDS=5 SEED=3 FAULTS=kill,kill+slow LEVEL=eventual STORE=wal NODES=5 STALENESS=1s",
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil || o.command() != want {
			t.Errorf("%s: %s (%v), want %s", args, o.command(), err, want)
		}
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--faults nonsense":                `there is no "nonsense", but kill`,
		"--faults kill+nonsense":           `there is no "nonsense"`,
		"--faults kill+kill":               "two different ones",
		"--faults kill+slow+pause":         "or two different ones",
		"--nodes 4":                        "want 3 or 5",
		"--store tape":                     "want bolt or wal",
		"--jobs 0":                         "--jobs 0",
		"--resume":                         "say --results",
		"--rounds -1":                      "--rounds -1",
		"--level strong":                   `level "strong"`,
		"--staleness 1s":                   "say --level eventual",
		"--level lease --staleness 1s":     "only eventual reads may be stale",
		"--level eventual --staleness -1s": "want at least 0",
		"extra":                            `"extra"`,
	} {
		var stderr strings.Builder
		if code := run(strings.Fields(args), io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", args, code, stderr.String(), want)
		}
	}
}
