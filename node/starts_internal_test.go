package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a node hears of a peer's starts, in order, and what it says to the last.
func TestOlderCopyIsNoticed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		earlier []start
		now     start
		older   bool
	}{
		"the first":                     {nil, start{1, "a"}, false},
		"the next":                      {[]start{{1, "a"}}, start{2, "b"}, false},
		"one after some went unnoticed": {[]start{{1, "a"}}, start{9, "b"}, false},
		"another connection":            {[]start{{2, "a"}}, start{2, "a"}, false},
		"an older copy":                 {[]start{{3, "a"}}, start{2, "b"}, true},
		"a copy that is one run old":    {[]start{{3, "a"}}, start{3, "b"}, true},
		"the copy that has run before":  {[]start{{2, "a"}, {3, "b"}}, start{2, "a"}, true},
		"one that says nothing":         {[]start{{3, "a"}}, start{}, false},
	} {
		path := filepath.Join(t.TempDir(), startsFile)
		for i, s := range append(tt.earlier, tt.now) {
			kept, err := openStarts(path) // what was heard outlives the node
			if err != nil {
				t.Fatal(err)
			}
			err = kept.hear("n2", "folder", s)
			if older := errors.Is(err, ErrOlderCopy); older != (tt.older && i == len(tt.earlier)) || (err != nil && !older) {
				t.Errorf("%s: %+v: %v", name, s, err)
			}
		}
	}
}

// Another directory of the same node, and another node, count for themselves.
func TestStartsAreOfADirectory(t *testing.T) {
	t.Parallel()
	s, err := openStarts(filepath.Join(t.TempDir(), startsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []struct{ peer, incarnation string }{{"n2", "lost"}, {"n2", "new"}, {"n3", "lost"}, {"n2", "lost"}} {
		if err := s.hear(h.peer, h.incarnation, start{5, "run"}); err != nil {
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
	s, err := openStarts(filepath.Join(dir, startsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.hear("n2", "folder", start{1, "a"}); err == nil || errors.Is(err, ErrOlderCopy) {
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
	if _, err := openStarts(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want one that names the file", err)
	}
}
