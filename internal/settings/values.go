package settings

import (
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// value reads and prints a setting through two functions.
type value struct {
	set    func(string) error
	get    func() string
	isBool bool
}

func (v value) Set(s string) error { return v.set(s) }
func (v value) String() string     { return v.get() }
func (v value) IsBoolFlag() bool   { return v.isBool }

// list is a value that may be given several times.
type list struct {
	value
	reset func()
	all   func() []string // the elements, quoted
}

func (l list) Reset() { l.reset() }

// lines is the list with an element on each line.
func (l list) lines() string {
	if len(l.all()) == 0 {
		return "[]"
	}
	return "[\n  " + strings.Join(l.all(), ",\n  ") + ",\n]"
}

// quote writes a text as a TOML string. Go's own escapes are not all TOML's.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ', r == 0x7f:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// String is any text.
func String(p *string) flag.Value {
	return value{
		set: func(s string) error { *p = s; return nil },
		get: func() string { return quote(*p) },
	}
}

// Parsed is a text that parse turns into a T and format back.
func Parsed[T any](p *T, parse func(string) (T, error), format func(T) string) flag.Value {
	return value{
		set: func(s string) error {
			v, err := parse(s)
			if err == nil {
				*p = v
			}
			return err
		},
		get: func() string { return quote(format(*p)) },
	}
}

// Bool is true or false.
func Bool(p *bool) flag.Value {
	return value{
		set: func(s string) error {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return fmt.Errorf("%q: want true or false", s)
			}
			*p = b
			return nil
		},
		get:    func() string { return strconv.FormatBool(*p) },
		isBool: true,
	}
}

// Int is a whole number.
func Int[T int | int64 | uint64](p *T) flag.Value {
	return value{
		set: func(s string) error {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || (n < 0 && T(0)-1 > 0) {
				return fmt.Errorf("%q: want a whole number", s)
			}
			*p = T(n)
			return nil
		},
		get: func() string { return fmt.Sprint(*p) },
	}
}

// Float is a number.
func Float(p *float64) flag.Value {
	return value{
		set: func(s string) error {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("%q: want a number", s)
			}
			*p = f
			return nil
		},
		get: func() string { return strconv.FormatFloat(*p, 'g', -1, 64) },
	}
}

// Duration is a time span such as 300ms.
func Duration(p *time.Duration) flag.Value {
	return value{
		set: func(s string) error {
			d, err := time.ParseDuration(s)
			if err != nil {
				return fmt.Errorf("%q: want a duration such as 300ms or 10s", s)
			}
			*p = d
			return nil
		},
		get: func() string { return quote(p.String()) },
	}
}

// Bytes is a size such as 8MiB, 64KiB or 4096.
func Bytes[T int | int64](p *T) flag.Value {
	return value{
		set: func(s string) error {
			n, err := parseBytes(s)
			if err == nil {
				*p = T(n)
			}
			return err
		},
		get: func() string { return quote(formatBytes(int64(*p))) },
	}
}

var units = []struct {
	suffix string
	size   int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseBytes(s string) (int64, error) {
	num, size := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			num, size = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/size {
		return 0, fmt.Errorf("%q: want a size such as 8MiB, 64KiB or 4096", s)
	}
	return n * size, nil
}

func formatBytes(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// List is a setting that may be given several times: as repeated flags, with
// semicolons in the environment, as an array in the file.
func List[T any](p *[]T, parse func(string) (T, error), format func(T) string) flag.Value {
	all := func() []string {
		out := make([]string, len(*p))
		for i, v := range *p {
			out[i] = quote(format(v))
		}
		return out
	}
	return list{
		value: value{
			set: func(s string) error {
				v, err := parse(s)
				if err == nil {
					*p = append(*p, v)
				}
				return err
			},
			get: func() string { return "[" + strings.Join(all(), ", ") + "]" },
		},
		reset: func() { *p = nil },
		all:   all,
	}
}

// Fields reads "key=value,key=value" into a map, refusing unknown keys.
func Fields(s string, known ...string) (map[string]string, error) {
	out := make(map[string]string)
	for part := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, fmt.Errorf("%q: want key=value", part)
		}
		found := false
		for _, name := range known {
			found = found || name == k
		}
		if !found {
			return nil, fmt.Errorf("unknown key %q: want %s", k, strings.Join(known, ", "))
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("key %q is given twice", k)
		}
		out[k] = v
	}
	return out, nil
}
