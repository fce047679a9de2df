package node

import (
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

// parseConditions reads If-Match and If-None-Match; both empty is no condition.
func parseConditions(ifMatch, ifNoneMatch string) (Condition, error) {
	switch {
	case ifMatch != "" && ifNoneMatch != "":
		return Condition{}, errors.New("If-Match and If-None-Match: send one of them")
	case ifMatch == "*":
		return IfExists(), nil
	case ifNoneMatch == "*":
		return IfAbsent(), nil
	case ifMatch != "":
		tags, err := parseTags(ifMatch)
		if err != nil {
			return Condition{}, fmt.Errorf("If-Match: %w", err)
		}
		return IfMatch(tags...), nil
	case ifNoneMatch != "":
		tags, err := parseTags(ifNoneMatch)
		if err != nil {
			return Condition{}, fmt.Errorf("If-None-Match: %w", err)
		}
		return IfNoneMatch(tags...), nil
	}
	return Condition{}, nil
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
