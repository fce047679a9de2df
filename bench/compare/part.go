package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// part is one subject: what is measured of it goes into a file of its own and a
// section of its own in bench/README.md.
type part struct {
	name     string // as --only, the file and the section are called
	seconds  int    // the length of each measurement unless told otherwise
	groups   []group
	chosen   bool // only some of its groups: too little for its section
	promises func() []benchmark.Promise
	// look says which versions of what others make are here, and what is missing.
	look func() (versions map[string]string, absent []string)
	// tables are those of a result, in Markdown, without where it comes from.
	tables func(benchmark.Result) string
}

// parts are all of them, in the order in which they are measured. sizes are how many
// keys there are in what is measured of many.
func parts(sizes []int) []part { return []part{readPart(), writePart(), proxyPart(), scalePart(sizes)} }

// choose picks parts, or groups of them, that are named in a list with commas; all
// for an empty list.
func choose(list string, all []part) ([]part, error) {
	type unit struct {
		name string
		part int
	}
	var units []unit
	for i, p := range all {
		units = append(units, unit{p.name, i})
		for _, g := range p.groups {
			units = append(units, unit{g.name, i})
		}
	}
	wanted, err := benchmark.Choose(list, units, func(u unit) string { return u.name })
	if err != nil {
		return nil, err
	}
	var out []part
	for i, p := range all {
		if !slices.Contains(wanted, unit{p.name, i}) {
			p.chosen = true
			p.groups = slices.DeleteFunc(slices.Clone(p.groups), func(g group) bool { return !slices.Contains(wanted, unit{g.name, i}) })
		}
		if len(p.groups) > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// measure runs every group in every round, one after the other.
func (part part) measure(p *harness.Program, o options) benchmark.Result {
	seconds := o.seconds
	if seconds == 0 {
		seconds = part.seconds
	}
	result := benchmark.Result{
		Date: time.Now().UTC().Truncate(time.Second), Command: o.command(), Machine: benchmark.LookAtMachine(), Seconds: seconds,
	}
	result.Versions, result.Absent = part.look()
	for _, what := range result.Absent {
		p.Logf("*** NOT MEASURED: %s", what)
	}
	b := &bench{window: benchmark.Window{WarmUp: time.Second, Length: time.Duration(seconds) * time.Second}}
	for b.round = 1; b.round <= o.runs; b.round++ {
		for _, g := range part.groups {
			name := fmt.Sprintf("round %d of %d, %s", b.round, o.runs, g.name)
			b.spoiled = nil
			problem := p.Run(name, func(p *harness.Program) { g.run(b, p) })
			for _, line := range reasons(problem, b.spoiled) {
				result.Problems = append(result.Problems, name+": "+line)
			}
		}
	}
	result.Rows, result.Ratios = b.book.Rows(), b.book.Judge(part.promises())
	return result
}

// reasons are why a group measured less than it should: what was spoiled, and what
// its first problem was, in a line each. The rest, a log perhaps, was printed.
func reasons(problem string, spoiled []string) (out []string) {
	if problem != "" && (len(spoiled) == 0 || !strings.HasSuffix(problem, spoiled[0])) {
		spoiled = append([]string{problem}, spoiled...)
	}
	for _, why := range spoiled {
		line, _, _ := strings.Cut(why, "\n")
		out = append(out, line)
	}
	return out
}

// text is a result for people.
func (part part) text(r benchmark.Result) string { return r.Provenance() + "\n" + part.tables(r) }

// file is where its results are. Those of some of its groups do not take the place of
// those of all.
func (part part) file(o options) string {
	if part.chosen {
		return filepath.Join(o.out, part.name+".some.json")
	}
	return filepath.Join(o.out, part.name+".json")
}

// report writes a result to its file and shows it.
func (part part) report(o options, r benchmark.Result, stdout io.Writer) error {
	file := part.file(o)
	if err := benchmark.Save(file, r); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\nThe same as JSON, with every round: %s\n", part.text(r), file)
	return nil
}

// redraw writes the section of bench/README.md again, from the file of results; an
// empty one where there is none yet.
func (part part) redraw(o options) error {
	r, err := benchmark.ReadResult(part.file(o))
	if errors.Is(err, fs.ErrNotExist) {
		return benchmark.WriteSection(o.readme, part.name, "")
	}
	if err != nil {
		return err
	}
	return benchmark.WriteSection(o.readme, part.name, part.text(r))
}
