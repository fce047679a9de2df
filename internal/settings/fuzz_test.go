package settings_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/settings"
)

// Whatever stands in a settings file and in the environment is refused, saying
// where, or printed as a file that means the same.
func FuzzSettings(f *testing.F) {
	f.Add("name = \"file\"\ncount = 2\nwait_time = \"2s\"\non = true\nratio = 0.5\npeers = [\"f1\", {b = \"2\", a = 1}]\n", "", "")
	f.Add("size = \"3KiB\"\nbig = 18446744073709551615\n[[peers]]\na = 1979-05-27\n", "a\x07b\"\\", "e1; e2;")
	f.Add("count = 3\n", "a\x07\v\"\\\x00", "e\x07")
	f.Add("count = [1, 2]\nname = []\nratio = nan\n", "", "")
	f.Add("name = \"\\u0000\\U0001F600\"\npeers = ['a=b,c']", "\x7f", ";")
	file := filepath.Join(f.TempDir(), "t.toml")
	f.Fuzz(func(t *testing.T, text, name, peers string) {
		if !utf8.ValidString(name) || !utf8.ValidString(peers) {
			return // no TOML can say it
		}
		p := fuzzkit.Program{Prefix: "T", File: file, Fresh: func() ([]settings.Setting, func() string) {
			c := new(config)
			return c.settings(), func() string { return fmt.Sprintf("%+v", *c) }
		}}
		p.CheckFile(t, text, map[string]string{"T_NAME": name, "T_PEERS": peers})
	})
}
