// Command chaos hurts clusters under load and has the histories of what clients
// saw judged. It is run by "make chaos". It exits with 1 where a promise was broken
// or could not be shown to be kept.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/chaos"
	"github.com/dengine/dengine/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are what the command line says.
type options struct {
	rounds    int
	seconds   int
	seed      uint64
	faults    string
	level     string
	staleness time.Duration
	evidence  string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 0, "rounds, each on a fresh cluster; 0: each fault once at each level")
	f.IntVar(&o.seconds, "seconds", 60, "seconds of faults in each round")
	f.Uint64Var(&o.seed, "seed", uint64(rand.Uint32()), "seed of the first round; the next one's is one more")
	f.StringVar(&o.faults, "faults", "", "faults to cause, separated by commas; empty: all")
	f.StringVar(&o.level, "level", "", "of reads: linearizable, lease or eventual; empty: linearizable, lease, and eventual with a staleness of 500ms")
	f.DurationVar(&o.staleness, "staleness", 0, "max_staleness of eventual reads; 0: none is asked for, and they are judged as linearizable, which they are not")
	f.StringVar(&o.evidence, "evidence", "", "folder where failed rounds leave theirs; empty: the system's for temporary files")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q: only flags are known; see --help", f.Arg(0))
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err == nil {
		var setups []chaos.Setup
		if setups, err = plan(o); err == nil {
			defer harness.Cleanup()
			return harness.Main(stderr, func(p *harness.Program) {
				if err := attack(p, setups, stdout); err != nil {
					p.Fatal(err)
				}
			})
		}
	}
	fmt.Fprintln(stderr, "chaos:", err)
	return 2
}

// attack runs every round, one after the other, and reports.
func attack(p *harness.Program, setups []chaos.Setup, stdout io.Writer) error {
	var rows []chaos.Row
	var bad []string
	for i, s := range setups {
		row := one(p, s)
		rows = append(rows, row)
		if row.Verdict != chaos.Kept {
			bad = append(bad, fmt.Sprintf("round %d: %s\n    again: %s", i+1, row.Verdict, s.Command()))
		}
	}
	if err := chaos.WriteTable(stdout, rows); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if len(bad) > 0 {
		return fmt.Errorf("not as promised:\n  %s", strings.Join(bad, "\n  "))
	}
	return nil
}

// one runs one round. What could not be run to its end has failed.
func one(p *harness.Program, s chaos.Setup) chaos.Row {
	var row chaos.Row
	problem := p.Run(fmt.Sprintf("%s at %s", s.Fault.Name, s.Promise), func(p *harness.Program) {
		row = chaos.Run(p, chaos.Cluster(p, s.Promise), s)
	})
	problem, _, _ = strings.Cut(problem, "\n") // the rest, a log perhaps, was printed
	switch {
	case row.Verdict == "":
		return chaos.Unfinished(s, problem)
	case row.Verdict == chaos.Kept && problem != "":
		row.Verdict = problem
	}
	return row
}
