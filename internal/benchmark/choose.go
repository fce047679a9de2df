package benchmark

import (
	"fmt"
	"slices"
	"strings"
)

// Choose picks those that are named in a list with commas, in the order of all;
// all for an empty list.
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
