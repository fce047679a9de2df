package benchmark

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/dengine/dengine/internal/harness"
)

// ParseFlags reads the command line of a program that knows flags only.
func ParseFlags(f *flag.FlagSet, args []string, stderr io.Writer) error {
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: only flags are known; see --help", f.Arg(0))
	}
	return nil
}

// Run runs a program of bench and returns its exit code. prepare reads the command
// line and returns what is then to be done on real clusters. The code is 2 where
// prepare refuses, 0 where it was asked for help, and else harness.Main's.
func Run(name string, stderr io.Writer, prepare func() (work func(*harness.Program) error, err error)) int {
	work, err := prepare()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 2
	}
	defer harness.Cleanup()
	return harness.Main(stderr, func(p *harness.Program) {
		if err := work(p); err != nil {
			p.Fatal(err)
		}
	})
}
