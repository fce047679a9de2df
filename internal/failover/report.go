package failover

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// Row is what one fault did through one front. Times are in milliseconds.
type Row struct {
	Name     string `json:"name"`  // of the fault
	Fault    string `json:"fault"` // in words
	Front    string `json:"front"`
	Attempts int    `json:"attempts"`
	InFlight int    `json:"in_flight"` // writes, the fewest when a fault struck

	Writes      int `json:"writes"`
	Failed      int `json:"failed"`
	Reads       int `json:"reads"`
	FailedReads int `json:"failed_reads"`
	StaleReads  int `json:"stale_reads"` // 404 for a key acknowledged before the read was sent
	Shed        int `json:"shed"`        // not sent: too many in flight
	Lost        int `json:"lost"`
	Doubled     int `json:"doubled"`
	Misreported int `json:"misreported"` // there though they were said not to be

	StallP50 float64 `json:"stall_p50_ms"`
	StallP99 float64 `json:"stall_p99_ms"`
	StallMax float64 `json:"stall_max_ms"`
	FirstP50 float64 `json:"stall_at_fault_p50_ms"` // of the stalls that begin, or are under way, within 100 ms of the fault
	FirstMax float64 `json:"stall_at_fault_max_ms"`
	Slowest  float64 `json:"slowest_ms"`  // successful write, from when it was due
	BackP50  float64 `json:"back_p50_ms"` // from the start of healing until all is whole
	BackMax  float64 `json:"back_max_ms"`

	Stolen float64 `json:"stolen_percent"` // of the machine's time, by others on its host

	Reasons  map[string]int `json:"reasons,omitempty"`  // of what failed
	Examples []string       `json:"examples,omitempty"` // of what was lost, doubled or misreported
	Over     []string       `json:"over,omitempty"`     // limits that were exceeded
	Problem  string         `json:"problem,omitempty"`  // why this could not be measured
}

// Unmeasured is the row of a setup that could not be measured.
func Unmeasured(s Setup, problem string) Row {
	return Row{Name: s.Fault.Name, Fault: s.Fault.What, Front: s.Front.What, Problem: problem}
}

func newRow(s Setup, attempts []attempt, n tally, slowest time.Duration, losses Losses) Row {
	r := Row{
		Name: s.Fault.Name, Fault: s.Fault.What, Front: s.Front.What, Attempts: len(attempts),
		Writes: n.writes, Failed: n.failed, Reads: n.reads, FailedReads: n.failedReads, StaleReads: n.stale, Shed: n.shed,
		Lost: losses.Lost, Doubled: losses.Doubled, Misreported: losses.Misreported,
		Slowest: ms(slowest), Reasons: n.reasons, Examples: losses.Examples,
	}
	var stalls, firsts, backs []time.Duration
	for i, a := range attempts {
		stalls, firsts, backs = append(stalls, a.stall), append(firsts, a.first), append(backs, a.back)
		if i == 0 || a.inFlight < r.InFlight {
			r.InFlight = a.inFlight
		}
	}
	r.StallP50, r.StallP99, r.StallMax = ms(benchmark.Quantile(stalls, 0.5)), ms(benchmark.Quantile(stalls, 0.99)), ms(benchmark.Quantile(stalls, 1))
	r.FirstP50, r.FirstMax = ms(benchmark.Quantile(firsts, 0.5)), ms(benchmark.Quantile(firsts, 1))
	r.BackP50, r.BackMax = ms(benchmark.Quantile(backs, 0.5)), ms(benchmark.Quantile(backs, 1))
	return r
}

func ms(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// Compare notes the limits that the row exceeds. Where one is about the control
// and there is none, it is left alone.
func (r *Row) Compare(limit Limit, control *Row) {
	over := func(what string, got float64, limit time.Duration) {
		if limit > 0 && got > ms(limit) {
			r.Over = append(r.Over, fmt.Sprintf("stall %s is %v ms, the limit is %v ms", what, got, ms(limit)))
		}
	}
	over("p50", r.StallP50, limit.P50)
	over("max", r.StallMax, limit.Max)
	if limit.AboveControl > 0 && control != nil {
		over("max", r.StallMax, limit.AboveControl+time.Duration(control.StallMax*float64(time.Millisecond)))
	}
}

// Bad says whether a client was told of a failure, or told wrongly of a success.
func (r Row) Bad() bool {
	return r.Problem != "" || r.Failed+r.FailedReads+r.StaleReads+r.Lost+r.Doubled+r.Misreported > 0
}

// WriteTable writes rows as a table in Markdown, and below it what needs words.
func WriteTable(w io.Writer, rows []Row) error {
	head := []string{"fault", "through", "attempts", "writes", "failed", "failed reads", "lost", "doubled", "stall p50", "p99", "max", "at the fault p50", "slowest write", "back after", "CPU stolen"}
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	out := benchmark.Table(head, cells)
	for _, r := range rows {
		for _, note := range r.notes() {
			out += fmt.Sprintf("\n- %s, %s: %s", r.Fault, r.Front, note)
		}
	}
	_, err := io.WriteString(w, out+"\n")
	return err
}

func (r Row) cells() []string {
	if r.Problem != "" {
		return append([]string{r.Fault, r.Front, "not measured"}, make([]string, 12)...)
	}
	mark := ""
	if len(r.Over) > 0 {
		mark = " (over)"
	}
	out := []string{r.Fault, r.Front}
	for _, n := range []int{r.Attempts, r.Writes, r.Failed, r.FailedReads, r.Lost, r.Doubled} {
		out = append(out, fmt.Sprint(n))
	}
	return append(out, length(r.StallP50), length(r.StallP99), length(r.StallMax)+mark, length(r.FirstP50), length(r.Slowest), length(r.BackP50),
		fmt.Sprintf("%.0f %%", r.Stolen))
}

// length is a time for people, of milliseconds.
func length(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.2f s", ms/1000)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func (r Row) notes() []string {
	var out []string
	if r.Problem != "" {
		return append(out, r.Problem)
	}
	out = append(out, r.Over...)
	for _, why := range slices.Sorted(maps.Keys(r.Reasons)) {
		out = append(out, fmt.Sprintf("%d × %s", r.Reasons[why], why))
	}
	if r.Misreported > 0 {
		out = append(out, fmt.Sprintf("%d writes happened that were said not to have", r.Misreported))
	}
	if r.StaleReads > 0 {
		out = append(out, fmt.Sprintf("%d reads did not find a key that was acknowledged before they were sent", r.StaleReads))
	}
	if r.Shed > 0 {
		out = append(out, fmt.Sprintf("%d writes were not sent, since too many were in flight", r.Shed))
	}
	return append(out, r.Examples...)
}
