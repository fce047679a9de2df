package fuzzkit

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/settings"
)

// Program is one whose settings are fuzzed. Fresh returns them all with their
// defaults in force, and what tells what is in force.
type Program struct {
	Prefix string // of its environment variables
	File   string // path that its settings file gets
	Fresh  func() (list []settings.Setting, inForce func() string)
}

// CheckFile has the program read a settings file with this text. Either it is
// refused with an error that names the file, or what --check prints afterwards is
// a file that gives the same settings. Variables come from env.
func (p Program) CheckFile(t testing.TB, text string, env map[string]string) {
	t.Helper()
	set, first, err := p.read(t, text, env)
	if err != nil {
		if msg := err.Error(); !strings.Contains(msg, p.File) && !strings.Contains(msg, "environment "+p.Prefix+"_") {
			t.Errorf("%q with %q: the error does not say where it is: %v", text, env, err)
		}
		return
	}
	var printed bytes.Buffer
	if err := set.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if _, second, err := p.read(t, printed.String(), nil); err != nil || second != first {
		t.Errorf("%q with %q gives\n%s\nwhich is printed as\n%s\nand that gives\n%s\n%v", text, env, first, printed.String(), second, err)
	}
}

func (p Program) read(t testing.TB, text string, env map[string]string) (*settings.Set, string, error) {
	t.Helper()
	if err := os.WriteFile(p.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, inForce := p.Fresh()
	set := settings.New(p.Prefix, list)
	err := set.Load(func(name string) (string, bool) {
		if name == p.Prefix+"_CONFIG" {
			return p.File, true
		}
		v, ok := env[name]
		return v, ok
	})
	return set, inForce(), err
}
