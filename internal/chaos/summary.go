package chaos

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// Summary is what became of many rounds, for a document.
type Summary struct {
	Command string // that ran them
	Rows    []Row
}

// Write writes it in Markdown: what was run, a line for each nemesis alone and for each
// pair, and every round with its seed.
func (s Summary) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Chaos\n\nWritten by `%s`. A round with seed N alone: the same, with ROUNDS=1, SEED=N, and what its line says of "+
		"FAULTS, LEVEL, STALENESS, NODES and STORE.\n\n%s\n\n", s.Command, s.total())
	if alone := slices.DeleteFunc(slices.Clone(s.Rows), Row.isPair); len(alone) > 0 {
		b.WriteString("## Nemeses alone\n\n" + perFault(alone) + "\n")
	}
	if pairs := s.pairs(); len(pairs) > 0 {
		b.WriteString("## Two at once\n\n" + perFault(pairs) + "\n")
	}
	b.WriteString("## What they do\n\n" + explained(s.Rows) + "\n")
	b.WriteString("## Settings\n\n" + perSetting(s.Rows))
	b.WriteString("\n## Rounds\n\n" + rounds(s.Rows))
	_, err := io.WriteString(w, b.String())
	return err
}

// isPair says that there were two nemeses.
func (r Row) isPair() bool { return strings.Contains(r.Fault, "+") }

func (s Summary) pairs() []Row {
	return slices.DeleteFunc(slices.Clone(s.Rows), func(r Row) bool { return !r.isPair() })
}

// sum adds rounds up.
type sum struct {
	name                                     string
	rounds, failed, operations, acknowledged int
	unknown, faults                          int
	elections                                uint64
	stall                                    time.Duration
}

func (s *sum) add(r Row) {
	s.rounds++
	if r.Verdict != Kept {
		s.failed++
	}
	s.operations += r.Operations
	s.acknowledged += r.Acked
	s.unknown += r.Unknown
	s.faults += r.Faults
	s.elections += r.Elections
	s.stall = max(s.stall, r.Stall)
}

// sums adds rounds up that have the same name, in the order in which names come.
func sums(rows []Row, name func(Row) string) []*sum {
	var out []*sum
	byName := map[string]*sum{}
	for _, r := range rows {
		n := name(r)
		if byName[n] == nil {
			byName[n] = &sum{name: n}
			out = append(out, byName[n])
		}
		byName[n].add(r)
	}
	return out
}

// total is all rounds in two sentences.
func (s Summary) total() string {
	all, healthy := sum{}, []float64{}
	for _, r := range s.Rows {
		all.add(r)
		healthy = append(healthy, r.Healthy)
	}
	return fmt.Sprintf("%d rounds, %d of them not as promised; %d different pairs of nemeses; %d faults, %d elections. "+
		"%d operations, %d acknowledged writes, %d outcomes unknown; before the first fault of a round %.0f operations a second (median).",
		all.rounds, all.failed, len(sums(s.pairs(), fault)), all.faults, all.elections, all.operations, all.acknowledged, all.unknown, benchmark.Quantile(healthy, 0.5))
}

func fault(r Row) string { return r.Fault }

var sumHead = []string{"rounds", "not as promised", "faults", "operations", "acknowledged writes", "unknown outcomes", "elections", "longest stall"}

// table is one line for each sum.
func table(what string, all []*sum) string {
	var cells [][]string
	for _, s := range all {
		line := []string{s.name}
		for _, n := range []any{s.rounds, s.failed, s.faults, s.operations, s.acknowledged, s.unknown, s.elections, seconds(s.stall)} {
			line = append(line, fmt.Sprint(n))
		}
		cells = append(cells, line)
	}
	return benchmark.Table(append([]string{what}, sumHead...), cells)
}

// perFault is in the order of Faults.
func perFault(rows []Row) string {
	place := map[string]int{}
	for i, f := range Faults() {
		place[f.Name] = i
	}
	all := sums(rows, fault)
	slices.SortStableFunc(all, func(a, b *sum) int {
		as, bs := strings.Split(a.name, "+"), strings.Split(b.name, "+")
		return slices.CompareFunc(as, bs, func(x, y string) int { return cmp.Compare(place[x], place[y]) })
	})
	return table("nemesis", all)
}

// explained lists the nemeses that took part.
func explained(rows []Row) string {
	var out strings.Builder
	for _, f := range Faults() {
		if slices.ContainsFunc(rows, func(r Row) bool { return slices.Contains(strings.Split(r.Fault, "+"), f.Name) }) {
			fmt.Fprintf(&out, "- `%s`: %s\n", f.Name, f.What)
		}
	}
	return out.String()
}

// perSetting says how rounds were spread.
func perSetting(rows []Row) string {
	all := sums(rows, func(r Row) string { return fmt.Sprintf("%s; %d nodes, %s", r.Level, r.Nodes, r.Store) })
	slices.SortFunc(all, func(a, b *sum) int { return cmp.Compare(a.name, b.name) })
	return table("reads; cluster", all)
}

// rounds is a short line for each, with what runs it again.
func rounds(rows []Row) string {
	var cells [][]string
	for _, r := range rows {
		verdict := r.Verdict
		if verdict != Kept {
			verdict = "**" + strings.ReplaceAll(verdict, "|", "\\|") + "**"
		}
		cells = append(cells, []string{
			fmt.Sprint(r.Seed), r.Fault, r.Level, fmt.Sprint(r.Nodes), r.Store,
			fmt.Sprint(r.Operations), fmt.Sprint(r.Acked), fmt.Sprint(r.Unknown), seconds(r.Stall), verdict,
		})
	}
	return benchmark.Table([]string{"seed", "nemesis", "reads", "nodes", "store", "operations", "acknowledged", "unknown", "longest stall", "verdict"}, cells)
}
