package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/settings"
)

func TestHoist(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"up":                                   "up",
		"up --nodes 5 --json":                  "up --nodes 5 --json",
		"up kill leader":                       "up kill leader",
		"up logs n1 -f":                        "up logs -f n1",
		"up logs n1 -n 5 -f":                   "up logs -n 5 -f n1",
		"up logs n1 -n=5":                      "up logs -n=5 n1",
		"up kill leader --port-offset 100":     "up --port-offset 100 kill leader",
		"up --port-offset 100 logs n2 --lines": "up --port-offset 100 logs --lines n2",
		"up status --json":                     "up status --json",
		"up --json status":                     "up --json status",
		"up --socket kill status":              "up --socket kill status",
		"up kill --bogus n1":                   "up kill --bogus n1",
		"up logs -- -f":                        "up logs -- -f",
		"up --node-arg --x=1 --nodes 3":        "up --node-arg --x=1 --nodes 3",
		"up status --help":                     "up status --help",
		"up bogus -f":                          "up -f bogus",
	} {
		args := strings.Fields(in)
		if got := settings.Hoist(args, newApp(args, io.Discard, io.Discard).cli); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %s", in, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"./bin/x-y_1": "./bin/x-y_1", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$x": "'$x'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
