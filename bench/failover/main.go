// Command failover measures what clients see when something breaks: dengine, and
// the rivals that are installed, side by side. It is run by "make failover", from
// the repository's root. It exits with 1 where a request through dengine failed,
// or an acknowledged write was lost or executed twice.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/failover"
	"github.com/dengine/dengine/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are what the command line says.
type options struct {
	kills      int
	rivalKills int
	faults     string
	fronts     string
	limits     bool
	out        string
	testdata   string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("failover", flag.ContinueOnError)
	f.IntVar(&o.kills, "kills", 0, "attempts for each fault; 0: as many as each one has by default")
	f.IntVar(&o.rivalKills, "rival-kills", 5, "attempts for each fault through other proxies, at most")
	f.StringVar(&o.faults, "fault", "", "faults to cause, separated by commas; empty: all")
	f.StringVar(&o.fronts, "front", "", "what to measure through, separated by commas; empty: all")
	f.BoolVar(&o.limits, "limits", false, "fail also where a stall is over its limit")
	f.StringVar(&o.out, "out", filepath.Join("bench", "results", "failover.json"), "file for the results")
	f.StringVar(&o.testdata, "testdata", "testdata", "folder of the proxies' configurations")
	return o, benchmark.ParseFlags(f, args, stderr)
}

func run(args []string, stdout, stderr io.Writer) int {
	return benchmark.Run("failover", stderr, func() (func(*harness.Program) error, error) {
		o, err := parse(args, stderr)
		if err != nil {
			return nil, err
		}
		setups, err := plan(o)
		return func(p *harness.Program) error { return measure(p, o, setups, stdout) }, err
	})
}

// measure runs every setup, one after the other, and reports.
func measure(p *harness.Program, o options, setups []failover.Setup, stdout io.Writer) error {
	result := failover.Result{
		Date: time.Now().UTC().Truncate(time.Second), Command: command(o),
		Machine: benchmark.LookAtMachine(), Load: setups[0].Load, Fronts: map[string]string{},
	}
	missing := map[string]error{}
	for _, s := range setups {
		if s.Front.Rival() && result.Fronts[s.Front.Name] == "" && missing[s.Front.Name] == nil {
			v, err := s.Front.Version()
			if err != nil {
				missing[s.Front.Name] = err
				p.Logf("*** NOT MEASURED: %s: %v", s.Front.What, err)
			} else {
				result.Fronts[s.Front.Name] = v
			}
		}
		result.Rows = append(result.Rows, one(p, s, missing[s.Front.Name], result.Rows))
	}
	if err := benchmark.Save(o.out, result); err != nil {
		return err
	}
	if err := failover.WriteTable(stdout, result.Rows); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	fmt.Fprintf(stdout, "\nThe same as JSON: %s\n", o.out)
	if bad := verdict(setups, result.Rows, o.limits); len(bad) > 0 {
		return fmt.Errorf("not as promised:\n  %s", strings.Join(bad, "\n  "))
	}
	return nil
}

// one measures one setup and compares it with its limits, and with its front's
// control among the rows so far.
func one(p *harness.Program, s failover.Setup, missing error, soFar []failover.Row) failover.Row {
	if missing != nil {
		return failover.Unmeasured(s, missing.Error())
	}
	var row failover.Row
	problem := p.Run(s.Fault.Name+" through "+s.Front.Name, func(p *harness.Program) {
		row = failover.Measure(p, s)
		if why := judge(s, row); why != "" {
			p.Errorf("%s", why) // the logs are kept then
		}
	})
	if row.Attempts == 0 {
		line, _, _ := strings.Cut(problem, "\n") // the rest, a log perhaps, was printed
		return failover.Unmeasured(s, line)
	}
	var control *failover.Row
	for i, r := range soFar {
		if r.Fault == failover.Control && r.Front == row.Front {
			control = &soFar[i]
		}
	}
	if !s.Front.Rival() { // the limits are dengine's own
		row.Compare(s.Fault.Limit, control)
	}
	return row
}

// judge says what no run may have: through dengine nothing that failed, and
// behind any front nothing lost.
func judge(s failover.Setup, r failover.Row) string {
	if r.Lost > 0 || (!s.Front.Rival() && r.Bad()) {
		return fmt.Sprintf("%s through %s: failed %d writes and %d reads, lost %d, doubled %d, misreported %d%s",
			r.Fault, r.Front, r.Failed, r.FailedReads, r.Lost, r.Doubled, r.Misreported, because(r.Problem))
	}
	return ""
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return "; not measured: " + problem
}

func verdict(setups []failover.Setup, rows []failover.Row, limits bool) (bad []string) {
	for i, r := range rows {
		if why := judge(setups[i], r); why != "" {
			bad = append(bad, why)
		}
		if limits {
			for _, over := range r.Over {
				bad = append(bad, fmt.Sprintf("%s through %s: %s", r.Fault, r.Front, over))
			}
		}
	}
	return bad
}

// command is how to run the same again.
func command(o options) string {
	out := "make failover"
	if o.kills > 0 {
		out += fmt.Sprintf(" KILLS=%d", o.kills)
	}
	if o.faults != "" {
		out += " FAULT=" + o.faults
	}
	if o.fronts != "" {
		out += " FRONT=" + o.fronts
	}
	return out
}
