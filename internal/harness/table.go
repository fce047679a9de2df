package harness

import (
	"fmt"
	"slices"
	"strings"
)

// Table is a table in Markdown.
func Table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// Choose picks those that a list names, separated by commas, in the order of all;
// all for an empty list. The error names the ones that there are.
func Choose[E any](list string, all []E, name func(E) string) ([]E, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	var out []E
	var names []string
	for _, e := range all {
		names = append(names, name(e))
		if slices.Contains(wanted, name(e)) {
			out = append(out, e)
		}
	}
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return nil, fmt.Errorf("there is no %q, but %s", w, strings.Join(names, ", "))
		}
	}
	return out, nil
}
