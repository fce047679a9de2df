package benchmark_test

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// What a program of bench exits with, and what it says.
func TestRun(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"--n 1":   {0, ""},
		"--n 2":   {1, "two is too many"},
		"--n 3":   {2, "counter: three is refused"},
		"--n x":   {2, "counter: invalid value"},
		"--n 1 4": {2, `counter: "4": only flags are known`},
		"--m":     {2, "counter: flag provided but not defined"},
		"--help":  {0, "how many"},
	} {
		var stderr strings.Builder
		code := benchmark.Run("counter", &stderr, func() (func(*harness.Program) error, error) {
			f := flag.NewFlagSet("counter", flag.ContinueOnError)
			n := f.Int("n", 0, "how many")
			if err := benchmark.ParseFlags(f, strings.Fields(args), &stderr); err != nil {
				return nil, err
			}
			if *n == 3 {
				return nil, errors.New("three is refused")
			}
			return func(*harness.Program) error {
				if *n == 2 {
					return errors.New("two is too many")
				}
				return nil
			}, nil
		})
		if code != want.code || !strings.Contains(stderr.String(), want.says) || want.says == "" && stderr.Len() > 0 {
			t.Errorf("%s: exit %d, %q; want %+v", args, code, stderr.String(), want)
		}
	}
}
