package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/dengine/dengine/internal/chaos"
)

// options are what the command line says.
type options struct {
	rounds    int
	seconds   int
	seed      uint64
	faults    string
	level     string
	staleness time.Duration
	nodes     int
	store     string
	jobs      int
	evidence  string
	summary   string
	results   string
	resume    bool
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 0, "rounds, each on a fresh cluster; 0: each entry of --faults once")
	f.IntVar(&o.seconds, "seconds", 60, "seconds of faults in each round")
	f.Uint64Var(&o.seed, "seed", uint64(rand.Uint32()), "seed of the first round, and of what rounds there are; the next one's is one more")
	f.StringVar(&o.faults, "faults", "", "nemeses, separated by commas, two at once joined by a plus; empty: each alone, then pairs by chance, over and over")
	f.StringVar(&o.level, "level", "", "of reads: linearizable, lease or eventual; empty: linearizable, lease, and eventual with a staleness of 500ms")
	f.DurationVar(&o.staleness, "staleness", 0, "max_staleness of eventual reads; 0: none is asked for, and they are judged as linearizable, which they are not")
	f.IntVar(&o.nodes, "nodes", 0, "of a cluster, 3 or 5; 0: both in turn")
	f.StringVar(&o.store, "store", "", "log store, bolt or wal; empty: both in turn")
	f.IntVar(&o.jobs, "jobs", 1, "rounds at the same time")
	f.StringVar(&o.evidence, "evidence", "", "folder where failed rounds leave theirs; empty: the system's for temporary files")
	f.StringVar(&o.summary, "summary", "", "file that gets a summary in Markdown; empty: none")
	f.StringVar(&o.results, "results", "", "file that gets a line of JSON after each round; empty: none")
	f.BoolVar(&o.resume, "resume", false, "leave out rounds that --results says were as promised, and report them with the others")
	f.Usage = func() { usage(f) }
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.check(f.Args())
}

// check names what cannot be asked for.
func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: only flags are known; see --help", rest[0])
	case o.rounds < 0 || o.seconds < 1 || o.jobs < 1:
		return fmt.Errorf("--rounds %d, --seconds %d, --jobs %d: want at least 0, 1 and 1", o.rounds, o.seconds, o.jobs)
	case o.staleness != 0 && o.level == "":
		return fmt.Errorf("--staleness %v: say --level eventual too, whose reads it bounds", o.staleness)
	case o.nodes != 0 && o.nodes != 3 && o.nodes != 5:
		return fmt.Errorf("--nodes %d: want 3 or 5", o.nodes)
	case o.store != "" && o.store != "bolt" && o.store != "wal":
		return fmt.Errorf("--store %q: want bolt or wal", o.store)
	case o.resume && o.results == "":
		return fmt.Errorf("--resume: say --results too, where finished rounds are")
	}
	return nil
}

func usage(f *flag.FlagSet) {
	fmt.Fprintln(f.Output(), "Hurts clusters under load and judges what clients saw. The flags:")
	f.PrintDefaults()
	fmt.Fprintln(f.Output(), "The nemeses:")
	for _, n := range chaos.Faults() {
		fmt.Fprintf(f.Output(), "  %-13s %s\n", n.Name, n.What)
	}
}

// command is what a person types for the same rounds.
func (o options) command() string {
	out := fmt.Sprintf("make chaos ROUNDS=%d SECONDS=%d SEED=%d", o.rounds, o.seconds, o.seed)
	for _, f := range []struct{ name, value string }{
		{"FAULTS", o.faults}, {"LEVEL", o.level}, {"STORE", o.store}, {"NODES", number(o.nodes, 0)}, {"JOBS", number(o.jobs, 1)},
	} {
		if f.value != "" {
			out += fmt.Sprintf(" %s=%s", f.name, f.value)
		}
	}
	if o.staleness > 0 {
		out += fmt.Sprintf(" STALENESS=%v", o.staleness)
	}
	return out
}

// number is n, or nothing where it is what holds anyway.
func number(n, otherwise int) string {
	if n == otherwise {
		return ""
	}
	return fmt.Sprint(n)
}
