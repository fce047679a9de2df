package node

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// parameters reads a query as form values (a plus sign is a space), strictly:
// each name is one of known and comes once, and percent-encodings are whole. Its
// errors name the parameter.
func parameters(query []byte, known ...string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	for part := range bytes.SplitSeq(query, []byte("&")) {
		if len(part) == 0 {
			continue
		}
		escaped, value, _ := bytes.Cut(part, []byte("="))
		name, err := unescapeForm(escaped)
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		if !slices.Contains(known, string(name)) {
			return nil, fmt.Errorf("query: %w: unknown parameter %q: want %s", ErrBadInput, name, strings.Join(known, ", "))
		}
		if _, twice := out[string(name)]; twice {
			return nil, fmt.Errorf("%s: %w: given twice", name, ErrBadInput)
		}
		if value, err = unescapeForm(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[string(name)] = value
	}
	return out, nil
}

// unescapeForm is unescape for form values.
func unescapeForm(s []byte) ([]byte, error) {
	return unescape(bytes.ReplaceAll(s, []byte("+"), []byte(" ")))
}
