package launcher

import (
	"fmt"
	"slices"
	"testing"
)

func TestLastWords(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("line ", i))
	}
	panicked := slices.Concat(many, []string{"panic: oops", "", "goroutine 1 [running]:"}, many)
	for name, tc := range map[string]struct{ lines, want []string }{
		"none":  {nil, nil},
		"few":   {many[:3], many[:3]},
		"many":  {many, many[22:]},
		"panic": {panicked, panicked[30:38]},
		"short": {panicked[:31], panicked[30:31]},
	} {
		if got := lastWords(tc.lines); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRing(t *testing.T) {
	t.Parallel()
	r := newRing()
	fmt.Fprint(r, "a\nb")
	if lines, pos := r.tail(9); !slices.Equal(lines, []string{"a"}) || pos != 1 {
		t.Errorf("%q at %d", lines, pos)
	}
	_, pos, changed := r.since(1)
	fmt.Fprint(r, "c\n")
	<-changed
	if lines, _, _ := r.since(pos); !slices.Equal(lines, []string{"bc"}) {
		t.Errorf("%q", lines)
	}
	fmt.Fprint(r, "unended")
	r.flush()
	r.flush()
	if lines, _ := r.tail(1); !slices.Equal(lines, []string{"unended"}) {
		t.Errorf("%q", lines)
	}
	for i := range 2 * ringLines {
		fmt.Fprintln(r, i)
	}
	if lines, pos := r.tail(1 << 20); len(lines) != ringLines || lines[ringLines-1] != fmt.Sprint(2*ringLines-1) || pos != 3+2*ringLines {
		t.Errorf("%d lines at %d", len(lines), pos)
	}
	if lines, _, _ := r.since(0); len(lines) != ringLines {
		t.Errorf("%d lines since the start", len(lines))
	}
	long := make([]byte, 3*ringLineSize)
	for i := range long {
		long[i] = 'x'
	}
	r.Write(append(long, '\n'))
	if lines, _ := r.tail(1); len(lines[0]) != ringLineSize {
		t.Errorf("a long line keeps %d bytes", len(lines[0]))
	}
}
