package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// said is what a node says in the start with that number, when its runs were called
// so; the names are letters.
func said(number uint64, runs string) lineage {
	return lineage{"folder", number, strings.Split(runs, "")}
}

// What a node hears of a peer's starts, in order, and what it says to the last.
func TestOlderCopyIsNoticed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		earlier []lineage
		now     lineage
		older   bool
	}{
		"the first":                     {nil, said(1, "a"), false},
		"the next":                      {[]lineage{said(1, "a")}, said(2, "ab"), false},
		"one after some went unheard":   {[]lineage{said(1, "a")}, said(4, "abcd"), false},
		"one after many went unheard":   {[]lineage{said(1, "a")}, said(9, "ghi"), false},
		"another connection":            {[]lineage{said(2, "ab")}, said(2, "ab"), false},
		"an older copy":                 {[]lineage{said(3, "abc")}, said(2, "ax"), true},
		"a copy that is one run old":    {[]lineage{said(3, "abc")}, said(3, "abx"), true},
		"a copy that was started again": {[]lineage{said(3, "abc")}, said(5, "abxyz"), true},
		"the copy that has run before":  {[]lineage{said(2, "ab"), said(3, "abc")}, said(2, "ab"), true},
		"one that says nothing":         {[]lineage{said(3, "abc")}, lineage{Incarnation: "folder"}, false},
	} {
		path := filepath.Join(t.TempDir(), startsFile)
		for i, l := range append(tt.earlier, tt.now) {
			kept, err := openStarts(path, "run") // what was heard outlives the node
			if err != nil {
				t.Fatal(err)
			}
			err = kept.hear("n2", l)
			if older := errors.Is(err, ErrOlderCopy); older != (tt.older && i == len(tt.earlier)) || (err != nil && !older) {
				t.Errorf("%s: %+v: %v", name, l, err)
			}
		}
	}
}

// A directory knows the last of its starts by name, and that it is an older copy.
func TestStartsAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), startsFile)
	var last lineage
	for i := range keptRuns + 3 {
		s, err := openStarts(path, string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		now := s.lineage("folder")
		if i > 0 && !now.follows(start{last.Start, last.Runs[len(last.Runs)-1]}) {
			t.Errorf("%+v does not follow %+v", now, last)
		}
		last = now
	}
	if last.Start != keptRuns+3 || len(last.Runs) != keptRuns {
		t.Errorf("%+v", last)
	}
	s, err := openStarts(path, "z")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.condemn("n1 says so"); err != nil {
		t.Fatal(err)
	}
	if _, err := openStarts(path, "z"); !errors.Is(err, ErrOlderCopy) || !strings.Contains(err.Error(), "n1 says so") {
		t.Errorf("an older copy was started again: %v", err)
	}
}

// Another directory of the same node, and another node, count for themselves.
func TestStartsAreOfADirectory(t *testing.T) {
	t.Parallel()
	s, err := openStarts(filepath.Join(t.TempDir(), startsFile), "run")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []struct{ peer, incarnation string }{{"n2", "lost"}, {"n2", "new"}, {"n3", "lost"}, {"n2", "lost"}} {
		if err := s.hear(h.peer, lineage{h.incarnation, 5, []string{"run"}}); err != nil {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// What cannot be written down was not heard: the peer is refused, and heard anew.
func TestStartThatCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := openStarts(filepath.Join(dir, startsFile), "run")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.hear("n2", said(1, "a")); err == nil || errors.Is(err, ErrOlderCopy) {
			t.Errorf("heard and not kept: %v", err)
		}
	}
}

func TestDamagedStarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), startsFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStarts(path, "run"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want one that names the file", err)
	}
}
