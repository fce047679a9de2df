// Command compare measures dengine beside what users would pick instead: for now
// reads, beside etcd's. It is run by "make bench", from the repository's root, and
// is a module of its own so that etcd stays out of dengine's.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
	"go.etcd.io/etcd/api/v3/version"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == memberCommand {
		os.Exit(runMember(os.Args[2:], os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	seconds int
	runs    int
	only    string
	limits  bool
	out     string
	keys    string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.IntVar(&o.seconds, "seconds", 5, "length of each measurement, after a second of warm-up")
	f.IntVar(&o.runs, "runs", 5, "rounds: everything is measured once in each, and the medians count")
	f.StringVar(&o.only, "only", "", "what to measure, separated by commas; empty: all")
	f.BoolVar(&o.limits, "limits", false, "fail where a ratio or a figure is not as promised")
	f.StringVar(&o.out, "out", "", "file for the results; empty: one in bench/results")
	f.StringVar(&o.keys, "keys", scaleSizes, "how many keys there are in what is measured of many, with commas")
	if err := benchmark.ParseFlags(f, args, stderr); err != nil {
		return o, err
	}
	if o.seconds < 1 || o.runs < 1 {
		return o, fmt.Errorf("--seconds %d, --runs %d: want at least 1 of each", o.seconds, o.runs)
	}
	return o, nil
}

// moreGarbage lets this process collect its own a quarter as often as usual: the
// load should cost little beside the servers. etcd's client gains most.
const moreGarbage = 400

func run(args []string, stdout, stderr io.Writer) int {
	return benchmark.Run("compare", stderr, func() (func(*harness.Program) error, error) {
		o, err := parse(args, stderr)
		if err != nil {
			return nil, err
		}
		part, err := choose(o)
		if o.out == "" {
			o.out = filepath.Join("bench", "results", part.name+".json")
		}
		return func(p *harness.Program) error {
			debug.SetGCPercent(moreGarbage)
			return measure(p, o, part, stdout)
		}, err
	})
}

// part is what is measured in one run, with a file of results of its own.
type part struct {
	name     string
	groups   []group
	promises []benchmark.Promise
}

// scaleName is the part of many keys in the command line; else it names groups of
// reads.
const scaleName = "scale"

func choose(o options) (part, error) {
	list, isScale := strings.CutPrefix(o.only, scaleName)
	if !isScale {
		groups, err := benchmark.Choose(o.only, readGroups(), func(g group) string { return g.name })
		return part{"reads", groups, readPromises()}, err
	}
	sizes, err := parseSizes(o.keys)
	if err != nil {
		return part{}, err
	}
	groups, err := benchmark.Choose(strings.TrimPrefix(list, ","), scaleGroups(sizes), func(g group) string { return g.name })
	return part{scaleName, groups, scalePromises(sizes)}, err
}

// measure runs every group in every round, one after the other, and reports.
func measure(p *harness.Program, o options, part part, stdout io.Writer) error {
	b := &bench{
		window: benchmark.Window{WarmUp: time.Second, Length: time.Duration(o.seconds) * time.Second},
	}
	result := benchmark.Result{
		Date: time.Now().UTC().Truncate(time.Second), Command: command(o), Machine: benchmark.LookAtMachine(),
		Versions: map[string]string{"etcd": version.Version}, Seconds: o.seconds,
	}
	for b.round = 1; b.round <= o.runs; b.round++ {
		for _, g := range part.groups {
			name := fmt.Sprintf("round %d of %d, %s", b.round, o.runs, g.name)
			problem := p.Run(name, func(p *harness.Program) { g.run(b, p) })
			if line, _, _ := strings.Cut(problem, "\n"); line != "" { // the rest, a log perhaps, was printed
				result.Problems = append(result.Problems, name+": "+line)
			}
		}
	}
	result.Rows, result.Ratios = b.book.Rows(), b.book.Judge(part.promises)
	if err := benchmark.Save(o.out, result); err != nil {
		return err
	}
	if err := result.WriteTables(stdout); err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	fmt.Fprintf(stdout, "\nThe same as JSON, with every round: %s\n", o.out)
	return verdict(o, result)
}

func verdict(o options, r benchmark.Result) error {
	bad := r.Problems
	if o.limits {
		for _, v := range r.Ratios {
			if !v.Met {
				bad = append(bad, fmt.Sprintf("%s, %d connections: %v", v.What, v.Connections, v.Median))
			}
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not measured, or not as promised:\n  %s", strings.Join(bad, "\n  "))
	}
	return nil
}

// command is how to run the same again.
func command(o options) string {
	out := fmt.Sprintf("make bench SECONDS=%d RUNS=%d", o.seconds, o.runs)
	if o.only != "" {
		out += " ONLY=" + o.only
	}
	if o.keys != scaleSizes {
		out += " KEYS=" + o.keys
	}
	return out
}
