// Package settings gives a program's settings one meaning wherever they come
// from: a flag beats the environment, which beats the TOML file, which beats
// the default. A setting's name is its flag ("raft-listen"); the environment
// variable (DENGINE_RAFT_LISTEN) and the file's key (raft_listen) follow from it.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"
)

// ConfigFlag is the flag that names the TOML file.
const ConfigFlag = "config"

// Setting is one setting of a program. Value reads and prints it; a Value with
// a Reset method is a list, which the first Set of a source empties.
type Setting struct {
	Name  string
	Usage string
	Value flag.Value
}

// Set is all settings of one program.
type Set struct {
	list   []*entry
	file   string
	prefix string
}

type entry struct {
	Setting
	origin string // where the value in force comes from
	byFlag bool
}

// Set marks what the command line gave; cli calls it while it parses.
func (e *entry) Set(s string) error {
	if !e.byFlag {
		e.reset()
	}
	e.byFlag, e.origin = true, "flag"
	return e.Value.Set(s)
}

func (e *entry) String() string {
	if e.Value == nil { // the flag package asks a zero value
		return ""
	}
	return e.Value.String()
}

// IsBoolFlag lets --check stand for --check=true.
func (e *entry) IsBoolFlag() bool {
	b, ok := e.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func (e *entry) reset() {
	if r, ok := e.Value.(interface{ Reset() }); ok {
		r.Reset()
	}
}

// New makes a set whose environment variables start with prefix and "_".
func New(prefix string, list []Setting) *Set {
	s := &Set{prefix: prefix}
	for _, one := range list {
		s.list = append(s.list, &entry{Setting: one, origin: "default"})
	}
	return s
}

func (s *Set) env(name string) string {
	return s.prefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Flags are the settings as command line flags, and --config.
func (s *Set) Flags() []cli.Flag {
	out := []cli.Flag{&cli.StringFlag{
		Name: ConfigFlag, Usage: "read settings from this TOML file [$" + s.env(ConfigFlag) + "]", Destination: &s.file,
	}}
	for _, e := range s.list {
		out = append(out, &cli.GenericFlag{Name: e.Name, Usage: e.Usage + " [$" + s.env(e.Name) + "]", Value: e})
	}
	return out
}

// Load fills in what no flag has set, from the environment and the file. It is
// called once, after the command line was parsed. An empty variable sets nothing.
func (s *Set) Load(lookupEnv func(string) (string, bool)) error {
	if s.file == "" {
		s.file, _ = lookupEnv(s.env(ConfigFlag))
	}
	fromFile, err := s.readFile()
	if err != nil {
		return err
	}
	for _, e := range s.list {
		if e.byFlag {
			continue
		}
		if v, ok := lookupEnv(s.env(e.Name)); ok && v != "" {
			e.reset()
			e.origin = "environment"
			for _, one := range splitEnv(e.Value, v) {
				if err := e.Value.Set(one); err != nil {
					return fmt.Errorf("environment %s: %w", s.env(e.Name), err)
				}
			}
			continue
		}
		values, ok := fromFile[e.Name]
		if !ok {
			continue
		}
		if _, isList := e.Value.(list); !isList && len(values) != 1 {
			return fmt.Errorf("%s: %s: must be a single value", s.file, key(e.Name))
		}
		e.reset()
		e.origin = s.file
		for _, one := range values {
			if err := e.Value.Set(one); err != nil {
				return fmt.Errorf("%s: %s: %w", s.file, key(e.Name), err)
			}
		}
	}
	return nil
}

// splitEnv splits a list's variable at semicolons.
func splitEnv(v flag.Value, s string) []string {
	if _, isList := v.(interface{ Reset() }); !isList {
		return []string{s}
	}
	var out []string
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// readFile returns each setting's values as the file has them.
func (s *Set) readFile() (map[string][]string, error) {
	if s.file == "" {
		return nil, nil
	}
	var doc map[string]any
	if _, err := toml.DecodeFile(s.file, &doc); err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			return nil, fmt.Errorf("%s, line %d: %s", s.file, parse.Position.Line, parse.Message)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read settings: %w", err)
		}
		return nil, fmt.Errorf("%s: %w", s.file, err)
	}
	out := make(map[string][]string)
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		name := strings.ReplaceAll(k, "_", "-")
		if !slices.ContainsFunc(s.list, func(e *entry) bool { return e.Name == name }) {
			return nil, fmt.Errorf("%s: unknown setting %q; --help lists them (with _ for - in a file)", s.file, k)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s: %s is given twice, with - and with _", s.file, k)
		}
		values, err := flatten(doc[k])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.file, k, err)
		}
		out[name] = values
	}
	return out, nil
}

// flatten turns a TOML value into what a flag would be given: a table into
// "key=value,…", an array into one value for each element.
func flatten(v any) ([]string, error) {
	switch v := v.(type) {
	case []any:
		return flattenAll(v)
	case []map[string]any:
		return flattenAll(v)
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			inner, err := flatten(v[k])
			if err != nil {
				return nil, err
			}
			if len(inner) != 1 {
				return nil, fmt.Errorf("%s: must be a single value", k)
			}
			parts = append(parts, k+"="+inner[0])
		}
		return []string{strings.Join(parts, ",")}, nil
	case string, bool, int64, float64:
		return []string{fmt.Sprint(v)}, nil
	}
	return nil, fmt.Errorf("a %T cannot be a setting", v)
}

func flattenAll[T any](list []T) ([]string, error) {
	out := []string{}
	for _, one := range list {
		inner, err := flatten(one)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

// Print writes every setting in force as a TOML file would have it, each with
// where it comes from.
func (s *Set) Print(w io.Writer) error {
	for _, e := range s.list {
		value := e.Value.String()
		if l, ok := e.Value.(list); ok {
			value = l.lines()
		}
		if _, err := fmt.Fprintf(w, "%s = %s # %s\n", key(e.Name), value, e.origin); err != nil {
			return err
		}
	}
	return nil
}

func key(name string) string { return strings.ReplaceAll(name, "-", "_") }
