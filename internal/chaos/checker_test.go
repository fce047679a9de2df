package chaos

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// history reads operations on one key, one a line:
//
//	put a 0..1     read a 2..3     read - 2..3     del 2..3
//	cas a b 2..3   cas! a b 2..3 (it failed)       cas - b 2..3 (- is nothing)
//
// Without an end the outcome is unknown. Each has a client of its own.
func history(t *testing.T, lines ...string) []Op {
	t.Helper()
	var out []Op
	for i, line := range lines {
		words := slices.DeleteFunc(strings.Fields(line), func(word string) bool { return word == "-" })
		o := Op{Client: i + 1, At: "n1", Key: "k", Result: OK, Return: Never}
		from, to, _ := strings.Cut(words[len(words)-1], "..")
		if _, err := fmt.Sscan(from, &o.Call); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if to == "" {
			o.Result = Unknown
		} else if _, err := fmt.Sscan(to, &o.Return); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kind, failed := strings.CutSuffix(words[0], "!")
		o.Kind = map[string]Kind{"put": Put, "read": Read, "del": Delete, "cas": CAS, "scan": Scan}[kind]
		if failed {
			o.Result = Failed
		}
		if values := words[1 : len(words)-1]; len(values) > 0 {
			o.Value = values[len(values)-1]
			if o.Kind == CAS && len(values) == 2 {
				o.Expect = values[0]
			}
		}
		out = append(out, o)
	}
	return out
}

func TestRegisters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		good bool
		ops  []string
	}{
		{"one after the other", true, []string{"read - 0..1", "put a 2..3", "read a 4..5", "del 6..7", "read - 8..9"}},
		{"a read during a write sees either", true, []string{"put a 0..1", "put b 2..9", "read a 3..4", "read b 5..6"}},
		{"and does not go back", false, []string{"put a 0..1", "put b 2..9", "read b 3..4", "read a 5..6"}},
		{"stale", false, []string{"put a 0..1", "put b 2..3", "read a 4..5"}},
		{"lost", false, []string{"put a 0..1", "read - 2..3"}},
		{"back after a delete", false, []string{"put a 0..1", "del 2..3", "read a 4..5"}},
		{"out of nowhere", false, []string{"put a 0..1", "read z 2..3"}},
		{"from the future", false, []string{"read a 0..1", "put a 2..3"}},
		{"executed again", false, []string{"put a 0..1", "put b 2..3", "read b 4..5", "read a 6..7"}},

		{"unknown, happened late", true, []string{"put a 0..1", "put b 2..", "read a 10..11", "read b 20..21"}},
		{"unknown, never happened", true, []string{"put a 0..1", "put b 2..", "read a 10..11", "put c 20..21", "read c 22..23"}},
		{"unknown, happened and then not", false, []string{"put a 0..1", "put b 2..", "read b 10..11", "read a 20..21"}},
		{"unknown, read from the future", false, []string{"read b 0..1", "put b 2.."}},
		{"unknown delete, late", true, []string{"put a 0..1", "del 2..", "read a 10..11", "read - 20..21"}},
		{"unknown delete, and back", false, []string{"put a 0..1", "del 2..", "read - 10..11", "read a 20..21"}},
		{"unknown delete, after a nothing that was not its own", true, []string{"read - 0..1", "del 0..", "put a 2..3", "read a 4..5", "read - 6..7"}},
		{"unknown, all of several", true, []string{"put a 0..", "put b 0..", "put c 0..", "read b 1..2", "read a 3..4", "read c 5..6"}},

		{"CAS", true, []string{"cas - a 0..1", "cas a b 2..3", "read b 4..5"}},
		{"CAS of what is not there", false, []string{"put a 0..1", "put b 2..3", "cas a c 4..5"}},
		{"CAS of nothing, which is not so", false, []string{"put a 0..1", "cas - b 2..3"}},
		{"CAS twice from the same", false, []string{"put a 0..1", "cas a b 2..9", "cas a c 2..9"}},
		{"CAS that fails", true, []string{"put a 0..1", "put b 2..3", "cas! a c 4..5", "read b 6..7"}},
		{"CAS that fails for nothing", false, []string{"put a 0..1", "cas! a b 2..3"}},
		{"CAS that fails and happens", false, []string{"put a 0..1", "put b 2..3", "cas! a c 4..5", "read c 6..7"}},
		{"unknown CAS, happened", true, []string{"put a 0..1", "cas a b 2..", "read a 3..4", "read b 5..6"}},
		{"unknown CAS, did not happen", true, []string{"put a 0..1", "cas a b 2..", "put c 3..4", "read c 5..6"}},
		{"unknown CAS, happened unseen", true, []string{"put a 0..1", "cas a b 2..", "cas! a c 4..5"}},
		{"unknown CAS, could not happen", false, []string{"put a 0..1", "put c 2..3", "cas a b 4..", "read b 5..6"}},
	} {
		f := CheckRegisters(history(t, tt.ops...), patience)
		if (f == nil) != tt.good {
			t.Errorf("%s: %v, want good %t", tt.name, f, tt.good)
		}
	}
}

// Keys are judged each for itself, and the finding names the bad one.
func TestRegistersByKey(t *testing.T) {
	t.Parallel()
	h := history(t, "put a 0..1", "read a 2..3")
	other := history(t, "put b 0..1", "put c 2..3", "read b 4..5")
	for i := range other {
		other[i].Key = "other"
	}
	if f := CheckRegisters(append(h, other...), patience); f == nil || f.Key != "other" {
		t.Errorf("%+v", f)
	}
}

// What porcupine cannot decide in time was not shown to be right.
func TestUndecidedIsAFinding(t *testing.T) {
	t.Parallel()
	lines := []string{"read z 101..102"}
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("put v%d 0..100", i))
	}
	f := CheckRegisters(history(t, lines...), 50*time.Millisecond)
	if f == nil || !strings.Contains(f.What, "could not decide") {
		t.Errorf("%+v", f)
	}
}

func TestStaleness(t *testing.T) {
	t.Parallel()
	const bound = 10
	for _, tt := range []struct {
		name string
		good bool
		ops  []string
	}{
		{"the newest", true, []string{"put a 0..1", "put b 2..3", "read b 100..101"}},
		{"old, within the bound", true, []string{"put a 0..1", "put b 2..3", "read a 4..5"}},
		{"at the bound", true, []string{"put a 0..1", "put b 2..3", "read a 13..14"}},
		{"beyond the bound", false, []string{"put a 0..1", "put b 2..3", "read a 14..15"}},
		{"a read that takes long", true, []string{"put a 0..1", "put b 2..3", "read a 13..99"}},
		{"one of two at the same time", true, []string{"put a 0..5", "put b 4..9", "read a 100..101"}},
		{"the other", true, []string{"put a 0..5", "put b 4..9", "read b 100..101"}},
		{"nothing, at the beginning", true, []string{"read - 0..1", "put a 95..96", "read - 100..101"}},
		{"nothing, long after the first write", false, []string{"put a 0..1", "read - 100..101"}},
		{"nothing, after a delete", true, []string{"put a 0..1", "del 2..3", "read - 100..101"}},
		{"nothing, long after a delete was overwritten", false, []string{"del 0..1", "put a 2..3", "read - 100..101"}},
		{"something, long after a delete", false, []string{"put a 0..1", "del 2..3", "read a 100..101"}},
		{"what a CAS replaced", false, []string{"put a 0..1", "cas a b 2..3", "read a 100..101"}},
		{"what a failed CAS did not replace", true, []string{"put a 0..1", "cas! x b 2..3", "read a 100..101"}},
		{"unknown need not have happened", true, []string{"put a 0..1", "put b 2..", "read a 100..101"}},
		{"though it was seen, it was not acknowledged", true, []string{"put a 0..1", "put b 2..", "read b 3..4", "read a 100..101"}},
		{"unknown may have happened late", true, []string{"put a 0..", "put b 2..3", "read a 100..101"}},
		{"unless it was seen before", false, []string{"put a 0..", "read a 1..2", "put b 3..4", "read a 100..101"}},
		{"an unknown delete may have happened late", true, []string{"del 0..", "put a 2..3", "read - 100..101"}},
		{"out of nowhere", false, []string{"put a 0..1", "read z 2..3"}},
		{"out of a CAS that failed", false, []string{"put a 0..1", "cas! x b 2..3", "read b 4..5"}},
		{"from the future", false, []string{"read a 0..1", "put a 2..3"}},
	} {
		f := CheckStaleness(history(t, tt.ops...), bound)
		if (f == nil) != tt.good {
			t.Errorf("%s: %v, want good %t", tt.name, f, tt.good)
		}
	}
}

// Reads that may be stale are no matter for porcupine; the writes beside them are.
func TestPromiseChoosesItsChecker(t *testing.T) {
	t.Parallel()
	old := history(t, "put a 0..1", "put b 2..3", "read a 4..5")
	twice := history(t, "put a 0..1", "cas a b 2..3", "cas a c 4..5")
	strong, bounded := Promise{Level: "linearizable"}, Promise{Level: "eventual", MaxStaleness: 10}
	for _, tt := range []struct {
		p    Promise
		h    []Op
		good bool
	}{
		{strong, old, false}, {Promise{Level: "eventual"}, old, false}, {bounded, old, true},
		{strong, twice, false}, {bounded, twice, false},
	} {
		if f := tt.p.check(tt.h, patience); (f == nil) != tt.good {
			t.Errorf("%s, %v: %+v, want good %t", tt.p, tt.h, f, tt.good)
		}
	}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "picture.html")
	h := history(t, "put a 0..1", "put b 2..3", "cas a c 3..", "read a 4..5")
	if err := Picture(h, "k", file, patience); err != nil {
		t.Fatal(err)
	}
	if err := Picture(h, "k", filepath.Join(file, "no", "such", "folder"), patience); err == nil {
		t.Error("drawn into a folder that is not there")
	}
}
