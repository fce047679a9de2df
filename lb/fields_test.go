package lb

import (
	"fmt"
	"strings"
	"testing"
)

// walk is what a scanner finds in a block.
func walk(block string, again bool) (found []string, bad bool) {
	s := fieldScanner{rest: []byte(block), again: again}
	for s.next() {
		found = append(found, fmt.Sprintf("%s=%s", s.name, s.value))
	}
	return found, s.bad
}

// A line that two readers could take for different things ends the walk; where there
// is none, the second walk finds what the first has found.
func TestFieldScanner(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]string{
		"\r\n": "",
		"":     "",
		"A: b\r\nC-1_x:d\r\nE: \t f:g \t\r\nH:\r\n\r\n": "A=b C-1_x=d E=f:g H=",
		"A: b\r\n":                   "A=b",
		"A: b\r\n\r\nC: d\r\n\r\n":   "A=b", // what follows is no header
		"!#$%&'*+.^`|~: \x80\t!\r\n": "!#$%&'*+.^`|~=\x80\t!",
	} {
		for _, again := range []bool{false, true} {
			if found, bad := walk(block, again); bad || strings.Join(found, " ") != want {
				t.Errorf("%q (again: %v): %q, bad: %v", block, again, found, bad)
			}
		}
	}
	for _, line := range []string{
		"A", "A\r\n", "A: b", "A: b\r", "A: b\n", "A: b\rc\r\n", "A: b\r\r\n", "A: b\nC: d\r\n", "\n", "\r", "\rA: b\r\n", "\n\r\n",
		": b\r\n", " : b\r\n", " A: b\r\n", "\tA: b\r\n", "A : b\r\n", "A\t: b\r\n", "A B: c\r\n", "A\x00: b\r\n", "\x80: b\r\n", "A(: b\r\n", "A\": b\r\n", "A/: b\r\n", "A;: b\r\n",
		"A: \x00\r\n", "A: b\x01\r\n", "A: \x1f\r\n", "A: \x7f\r\n", "A: \x0b\r\n",
	} {
		if found, bad := walk("X: y\r\n"+line, false); !bad || len(found) != 1 {
			t.Errorf("%q: %q, bad: %v", line, found, bad)
		}
	}
}
