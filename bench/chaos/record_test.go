package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/chaos"
)

// never is for rounds that nobody interrupts.
func never() bool { return false }

// What was as promised is not run again, what was not is; the file has a line for
// each round that came to its end.
func TestResume(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "rounds.jsonl")
	good, bad := chaos.Setup{Seed: 1}, chaos.Setup{Seed: 2}
	for run, want := range []string{"1 OK, 2 lost", "2 lost", "2 lost"} {
		rec, err := openRecord(file, run > 0)
		if err != nil {
			t.Fatal(err)
		}
		var ran []string
		for _, s := range []chaos.Setup{good, bad} {
			row, err := rec.once(s, func() chaos.Row {
				verdict := map[uint64]string{1: chaos.Kept, 2: "lost"}[s.Seed]
				ran = append(ran, strings.Join([]string{string(rune('0' + s.Seed)), verdict}, " "))
				return chaos.Row{Command: s.Command(), Seed: s.Seed, Verdict: verdict}
			}, never)
			if err != nil || row.Seed != s.Seed {
				t.Errorf("%+v, %v", row, err)
			}
		}
		if _, err := rec.once(chaos.Setup{Seed: 3}, func() chaos.Row { return chaos.Row{Seed: 3} }, func() bool { return true }); err != nil {
			t.Error(err)
		}
		rec.close()
		if got := strings.Join(ran, ", "); got != want {
			t.Errorf("run %d: ran %q, want %q", run, got, want)
		}
	}
	b, err := os.ReadFile(file)
	if lines := strings.Count(string(b), "\n"); err != nil || lines != 4 {
		t.Errorf("%d lines (%v):\n%s", lines, err, b)
	}
}

func TestRecordOfNothing(t *testing.T) {
	t.Parallel()
	rec, err := openRecord("", false)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.close()
	if row, err := rec.once(chaos.Setup{}, func() chaos.Row { return chaos.Row{Seed: 3} }, never); err != nil || row.Seed != 3 {
		t.Errorf("%+v, %v", row, err)
	}
	file := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(file, []byte("{}\n{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRecord(file, true); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("half a line: %v", err)
	}
}
