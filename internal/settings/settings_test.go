package settings_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/settings"
	"github.com/urfave/cli/v2"
)

// config has one setting of each kind.
type config struct {
	name  string
	count int
	big   uint64
	on    bool
	ratio float64
	wait  time.Duration
	size  int
	peers []string
}

// settings names them all.
func (c *config) settings() []settings.Setting {
	text := func(s string) (string, error) {
		if s == "bad" {
			return "", fmt.Errorf("%q is not a peer", s)
		}
		return s, nil
	}
	return []settings.Setting{
		{Name: "name", Value: settings.String(&c.name)},
		{Name: "count", Value: settings.Int(&c.count)},
		{Name: "big", Value: settings.Int(&c.big)},
		{Name: "on", Value: settings.Bool(&c.on)},
		{Name: "ratio", Value: settings.Float(&c.ratio)},
		{Name: "wait-time", Value: settings.Duration(&c.wait)},
		{Name: "size", Value: settings.Bytes(&c.size)},
		{Name: "peers", Value: settings.List(&c.peers, text, func(s string) string { return s })},
	}
}

// load runs a program (one at a time: cli keeps its help flag in a global) with these arguments and environment, and returns what is
// in force and what Print says.
func load(t *testing.T, env map[string]string, args ...string) (config, string, error) {
	t.Helper()
	c := config{name: "default", count: 1, wait: time.Second, size: 1 << 20, peers: []string{"d"}}
	set := settings.New("T", c.settings())
	var out bytes.Buffer
	var err error
	app := &cli.App{
		Flags: set.Flags(), Writer: &out, ErrWriter: &out,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return err },
		Action: func(*cli.Context) error {
			return set.Load(func(k string) (string, bool) { v, ok := env[k]; return v, ok })
		},
	}
	if err = app.Run(append([]string{"t"}, args...)); err != nil {
		return c, "", err
	}
	out.Reset()
	if err := set.Print(&out); err != nil {
		t.Fatal(err)
	}
	return c, out.String(), nil
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	f := file(t, "name = \"file\"\ncount = 2\nwait_time = \"2s\"\non = true\nratio = 0.5\npeers = [\"f1\", {b = \"2\", a = 1}]\n")
	env := map[string]string{"T_COUNT": "3", "T_WAIT_TIME": "3s", "T_SIZE": "3KiB"}
	c, printed, err := load(t, env, "--config", f, "--wait-time", "4s", "--peers", "x", "--peers", "y")
	if err != nil {
		t.Fatal(err)
	}
	want := config{name: "file", count: 3, on: true, ratio: 0.5, wait: 4 * time.Second, size: 3 << 10, peers: []string{"x", "y"}}
	if fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	for _, line := range []string{
		`name = "file" # ` + f, "count = 3 # environment", `wait_time = "4s" # flag`, `size = "3KiB" # environment`, "big = 0 # default",
		"peers = [\n  \"x\",\n  \"y\",\n] # flag",
	} {
		if !strings.Contains(printed, line+"\n") {
			t.Errorf("printed\n%s\nwithout %s", printed, line)
		}
	}
	// What is printed is a file that sets the same.
	again, _, err := load(t, nil, "--config", file(t, printed))
	if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
		t.Errorf("the printed settings give %+v (%v), not %+v", again, err, c)
	}
}

func TestListsFromFileAndEnvironment(t *testing.T) {
	f := file(t, "peers = [\"f1\", {b = \"2\", a = 1}]\n")
	c, _, err := load(t, nil, "--config", f)
	if err != nil || fmt.Sprint(c.peers) != "[f1 a=1,b=2]" {
		t.Errorf("%q, %v", c.peers, err)
	}
	c, _, err = load(t, map[string]string{"T_CONFIG": f, "T_PEERS": "e1; e2;"})
	if err != nil || fmt.Sprint(c.peers) != "[e1 e2]" {
		t.Errorf("%q, %v", c.peers, err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		file string
		env  map[string]string
		args []string
		says []string
	}{
		{file: "nmae = \"x\"\n", says: []string{"nmae", "unknown setting"}},
		{file: "count = \"two\"\n", says: []string{"count", `"two"`, "whole number"}},
		{file: "wait_time = 5\n", says: []string{"wait_time", `"5"`, "300ms"}},
		{file: "wait-time = \"1s\"\nwait_time = \"2s\"\n", says: []string{"wait_time", "twice"}},
		{file: "a = \n", says: []string{"line 1"}},
		{file: "count = [1, 2]\n", says: []string{"count", "single value"}},
		{file: "count = []\n", says: []string{"count", "single value"}},
		{file: "ratio = nan\n", says: []string{"ratio", "number"}},
		{file: "peers = [\"bad\"]\n", says: []string{"peers", "not a peer"}},
		{env: map[string]string{"T_BIG": "-1"}, says: []string{"T_BIG", `"-1"`}},
		{env: map[string]string{"T_SIZE": "3 apples"}, says: []string{"T_SIZE", "8MiB"}},
		{env: map[string]string{"T_ON": "maybe"}, says: []string{"T_ON", "true or false"}},
		{env: map[string]string{"T_CONFIG": "/no/such/file"}, says: []string{"/no/such/file"}},
		{args: []string{"--ratio", "x"}, says: []string{"ratio", `"x"`, "number"}},
	} {
		args := c.args
		if c.file != "" {
			args = []string{"--config", file(t, c.file)}
		}
		_, _, err := load(t, c.env, args...)
		if err == nil {
			t.Errorf("%+v: no error", c)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q does not say %q", err, s)
			}
		}
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"id=a,raft=b": "map[id:a raft:b]", "id=a, raft=b=c": "map[id:a raft:b=c]",
		"id": "want key=value", "id=a,id=b": "given twice", "x=1": "unknown key",
	} {
		f, err := settings.Fields(s, "id", "raft")
		if got := fmt.Sprint(f, err); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}
