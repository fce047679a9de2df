package node

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
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

// unescape decodes %XX (RFC 3986, 2.1); everything else stands for itself, so
// that a key may hold any byte.
func unescape(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return nil, fmt.Errorf("%w: %q ends in the middle of a percent-encoding", ErrBadInput, s)
		}
		b, err := strconv.ParseUint(string(s[i+1:i+3]), 16, 8)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not a percent-encoding: want two hex digits", ErrBadInput, s[i:i+3])
		}
		out = append(out, byte(b))
		i += 2
	}
	return out, nil
}
