package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--level lease --seed 7":                                        "lease/kill/7 lease/pause/8 lease/two-way/9 lease/one-way/10",
		"--level eventual --staleness 1s --faults pause --seed 1":       "eventual, 1s/pause/1",
		"--level linearizable --faults pause,kill --rounds 3 --seed 40": "linearizable/kill/40 linearizable/pause/41 linearizable/kill/42",
		"--faults one-way --seed 1":                                     "linearizable/one-way/1 lease/one-way/2 eventual, 500ms/one-way/3",
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		setups, err := plan(o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range setups {
			got = append(got, fmt.Sprintf("%s/%s/%d", s.Promise, s.Fault.Name, s.Seed))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// The command that a failed round prints plans that very round.
func TestCommandPlansTheSameRound(t *testing.T) {
	t.Parallel()
	o, err := parse(strings.Fields("--level eventual --staleness 250ms --faults two-way,one-way --rounds 4 --seconds 9 --seed 5"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	setups, err := plan(o)
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.NewReplacer("make chaos ", "", "ROUNDS=", "--rounds=", "LEVEL=", "--level=", "FAULTS=", "--faults=",
		"SECONDS=", "--seconds=", "SEED=", "--seed=", "STALENESS=", "--staleness=")
	for _, s := range setups {
		again, err := parse(strings.Fields(flags.Replace(s.Command())), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		same, err := plan(again)
		if err != nil {
			t.Fatal(err)
		}
		if len(same) != 1 || same[0].Command() != s.Command() {
			t.Errorf("%s: %+v", s.Command(), same)
		}
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--faults nonsense":                `there is no "nonsense", but kill`,
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
