// Command compare measures dengine beside what users would pick instead: reads
// beside etcd's, and its balancer beside other proxies. It is run by "make bench",
// from the repository's root, and is a module of its own so that etcd stays out of
// dengine's.
package main

import (
	"errors"
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
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case memberCommand:
			os.Exit(runMember(os.Args[2:], os.Stderr))
		case plainCommand:
			os.Exit(runPlain(os.Args[2:], os.Stderr))
		}
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	seconds int // 0: each part's own
	runs    int
	only    string
	limits  bool
	redraw  bool
	out     string
	readme  string
	keys    string
}

// longest is how many seconds a measurement may last: what is started for it is
// waited for no longer than the harness waits for anything.
const longest = int(harness.Patience / time.Second / 2)

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.IntVar(&o.seconds, "seconds", 0, "length of each measurement; 0: 5 of reads and of many keys, 3 of writes, 2 of proxies")
	f.IntVar(&o.runs, "runs", 5, "rounds: everything is measured once in each, and the medians count")
	f.StringVar(&o.only, "only", "", "what to measure, separated by commas; empty: all")
	f.BoolVar(&o.limits, "limits", false, "fail where a ratio or a figure is not as promised")
	f.BoolVar(&o.redraw, "redraw", false, "measure nothing: write the sections of the README again, from the results that are there")
	f.StringVar(&o.out, "out", filepath.Join("bench", "results"), "folder for the results")
	f.StringVar(&o.readme, "readme", filepath.Join("bench", "README.md"), "file with a section for each part; rewritten where a part was measured whole")
	f.StringVar(&o.keys, "keys", scaleSizes, "how many keys there are in what is measured of many, with commas")
	if err := benchmark.ParseFlags(f, args, stderr); err != nil {
		return o, err
	}
	if o.redraw && o.only != "" {
		return o, errors.New("--redraw writes every section: leave --only out")
	}
	if o.seconds < 0 || o.seconds > longest || o.runs < 1 {
		return o, fmt.Errorf("--seconds %d, --runs %d: want 0 to %d, and at least 1", o.seconds, o.runs, longest)
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
		sizes, err := parseSizes(o.keys)
		if err != nil {
			return nil, err
		}
		chosen, err := choose(o.only, parts(sizes))
		return func(p *harness.Program) error {
			debug.SetGCPercent(moreGarbage)
			return all(p, o, chosen, stdout)
		}, err
	})
}

// all measures parts, one after the other. One that could not be measured does not
// keep the next from it.
func all(p *harness.Program, o options, chosen []part, stdout io.Writer) error {
	var errs []error
	for _, part := range chosen {
		if !o.redraw {
			result := part.measure(p, o)
			errs = append(errs, part.report(o, result, stdout), verdict(o, result))
		}
		if !part.chosen {
			errs = append(errs, part.redraw(o))
		}
	}
	return errors.Join(errs...)
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
func (o options) command() string {
	out := "make bench"
	if o.seconds > 0 {
		out += fmt.Sprintf(" SECONDS=%d", o.seconds)
	}
	out += fmt.Sprintf(" RUNS=%d", o.runs)
	if o.only != "" {
		out += " ONLY=" + o.only
	}
	if o.keys != "" && o.keys != scaleSizes {
		out += " KEYS=" + o.keys
	}
	return out
}
