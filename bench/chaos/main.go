// Command chaos hurts clusters under load and has the histories of what clients
// saw judged. It is run by "make chaos". It exits with 1 where a promise was broken
// or could not be shown to be kept.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dengine/dengine/internal/chaos"
	"github.com/dengine/dengine/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err == nil {
		var setups []chaos.Setup
		if setups, err = plan(o); err == nil {
			defer harness.Cleanup()
			return harness.Main(stderr, func(p *harness.Program) {
				if err := attack(p, o, setups, stdout); err != nil {
					p.Fatal(err)
				}
			})
		}
	}
	fmt.Fprintln(stderr, "chaos:", err)
	return 2
}

// attack runs every round, some at the same time where that was asked for, and
// reports.
func attack(p *harness.Program, o options, setups []chaos.Setup, stdout io.Writer) error {
	rec, err := openRecord(o.results, o.resume)
	if err != nil {
		return err
	}
	defer rec.close()
	rows, errs := make([]chaos.Row, len(setups)), make([]error, len(setups))
	next := make(chan int)
	var wg sync.WaitGroup
	for range o.jobs {
		wg.Go(func() {
			for i := range next {
				if p.Halted() {
					continue
				}
				rows[i], errs[i] = rec.once(setups[i], func() chaos.Row { return one(p, setups[i]) }, p.Halted)
				p.Logf("round %d of %d, %s, seed %d: %s", i+1, len(setups), rows[i].Fault, rows[i].Seed, rows[i].Verdict)
			}
		})
	}
	for i := range setups {
		next <- i
	}
	close(next)
	wg.Wait()
	return report(o, rows, errs, stdout)
}

// report writes what became of the rounds.
func report(o options, rows []chaos.Row, errs []error, stdout io.Writer) error {
	var bad []string
	for i, r := range rows {
		if r.Verdict != chaos.Kept {
			bad = append(bad, fmt.Sprintf("round %d: %s\n    again: %s", i+1, r.Verdict, r.Command))
		}
		if errs[i] != nil {
			bad = append(bad, fmt.Sprintf("round %d: %v", i+1, errs[i]))
		}
	}
	if err := chaos.WriteTable(stdout, rows); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if o.summary != "" {
		if err := summarize(o, rows); err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not as promised:\n  %s", strings.Join(bad, "\n  "))
	}
	return nil
}

func summarize(o options, rows []chaos.Row) error {
	if err := os.MkdirAll(filepath.Dir(o.summary), 0o755); err != nil {
		return err
	}
	f, err := os.Create(o.summary)
	if err != nil {
		return err
	}
	if err := (chaos.Summary{Command: o.command(), Rows: rows}).Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// one runs one round. What could not be run to its end has failed.
func one(p *harness.Program, s chaos.Setup) chaos.Row {
	var row chaos.Row
	problem := p.Run(fmt.Sprintf("%s at %s", chaos.Names(s.Nemeses), s.Promise), func(p *harness.Program) {
		row = chaos.Run(p, s.Cluster(p), s)
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
