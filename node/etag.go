package node

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dengine/dengine/node/internal/kv"
)

// ETag tells one write's value from every other's. It is opaque: compare it for
// equality only. 0 stands for "no value".
type ETag uint64

// String is the strong entity tag of RFC 9110, 8.8.3, with its quotes.
func (t ETag) String() string { return string(t.append(nil)) }

func (t ETag) append(b []byte) []byte {
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(t), 36)
	return append(b, '"')
}

// parseConditions reads If-Match and If-None-Match. Several lines of one are one
// list (RFC 9110, 5.3); no line at all is no condition.
func parseConditions(ifMatch, ifNoneMatch [][]byte) (Condition, error) {
	join := func(lines [][]byte) string { return strings.TrimSpace(string(bytes.Join(lines, []byte(", ")))) }
	switch {
	case len(ifMatch) > 0 && len(ifNoneMatch) > 0:
		return Condition{}, errors.New("If-Match and If-None-Match: send one of them")
	case len(ifMatch) > 0:
		return parseCondition("If-Match", join(ifMatch), IfExists, IfMatch)
	case len(ifNoneMatch) > 0:
		return parseCondition("If-None-Match", join(ifNoneMatch), IfAbsent, IfNoneMatch)
	}
	return Condition{}, nil
}

func parseCondition(header, value string, star func() Condition, list func(...ETag) Condition) (Condition, error) {
	if value == "*" {
		return star(), nil
	}
	tags, err := parseTags(value)
	if err != nil {
		return Condition{}, fmt.Errorf("%s: %w", header, err)
	}
	return list(tags...), nil
}

// parseTags reads a list of entity tags. A well-formed tag that this cluster has
// never given out, or a weak one, matches nothing and becomes 0, which no value
// has.
func parseTags(s string) ([]ETag, error) {
	var out []ETag
	for rest := s; ; {
		rest = strings.TrimLeft(rest, " \t")
		strong := strings.TrimPrefix(rest, "W/")
		if len(strong) == 0 || strong[0] != '"' {
			return nil, fmt.Errorf("%q: want *, or entity tags in double quotes with commas between", s)
		}
		end := strings.IndexByte(strong[1:], '"')
		if end < 0 {
			return nil, fmt.Errorf("%q: a quote is missing", s)
		}
		tag := ETag(0)
		if body := strong[1 : 1+end]; len(strong) == len(rest) {
			if rev, err := strconv.ParseUint(body, 36, 64); err == nil && strconv.FormatUint(rev, 36) == body {
				tag = ETag(rev)
			}
		}
		out = append(out, tag)
		if len(out) > kv.MaxRevs {
			return nil, fmt.Errorf("at most %d entity tags", kv.MaxRevs)
		}
		rest = strings.TrimLeft(strong[end+2:], " \t")
		if rest == "" {
			return out, nil
		}
		if rest[0] != ',' {
			return nil, fmt.Errorf("%q: want commas between entity tags", s)
		}
		rest = rest[1:]
	}
}
