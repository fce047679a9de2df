package benchmark_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []time.Duration{3, 1, 2}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 2, 0.99: 3, 1: 3} {
		if got := benchmark.Quantile(values, q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
	if got := benchmark.Quantile([]float64{4, 3}, 0.5); got != 3 {
		t.Errorf("the median of two is the lower one, got %v", got)
	}
	if got := benchmark.Quantile[float64](nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestSampleOfAllWorkers(t *testing.T) {
	t.Parallel()
	s := benchmark.NewSample([]time.Duration{3 * time.Millisecond}, nil, []time.Duration{time.Millisecond, 8 * time.Millisecond})
	if s.Requests != 3 || s.P50 != 3 || s.P99 != 8 || s.P999 != 8 || s.Max != 8 {
		t.Errorf("%+v", s)
	}
}

var (
	strong = benchmark.Key{System: "ours", What: "strong", Connections: 64}
	weak   = benchmark.Key{System: "ours", What: "weak", Connections: 64}
)

// Ratios are taken within a round: where the machine is half as fast in one, both
// are. The ratio of the medians would be another one here.
func TestRatiosAreTakenWithinRounds(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	for round, pair := range [][2]float64{{90, 100}, {45, 50}, {50, 100}} {
		b.Record(round+1, strong, benchmark.Sample{PerSecond: pair[0]})
		b.Record(round+1, weak, benchmark.Sample{PerSecond: pair[1]})
	}
	v := only(t, b.Judge([]benchmark.Promise{{What: "x", Of: strong, To: weak, Figure: benchmark.PerSecond, AtLeast: 0.9}}))
	if v.Median != 0.9 || v.Lowest != 0.5 || v.Highest != 0.9 || v.Rounds != 3 || !v.Met || !v.Ratio {
		t.Errorf("%+v", v)
	}
}

// Where others take half of the machine in one round, the requests are halved, and
// what each costs is not.
func TestRatiosByCPUTime(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	b.Record(1, strong, benchmark.Sample{PerSecond: 50, LoadCores: 0.5, ServerCores: 0.5})
	b.Record(1, weak, benchmark.Sample{PerSecond: 100, LoadCores: 0.5, ServerCores: 1.5})
	v := only(t, b.Judge([]benchmark.Promise{{Of: strong, To: weak, Figure: benchmark.PerSecond}}))
	if v.Median != 0.5 || v.PerCPU != 1 {
		t.Errorf("%+v", v)
	}
}

// A round that lacks one of the two says nothing of their ratio.
func TestRatiosNeedBoth(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	b.Record(1, strong, benchmark.Sample{PerSecond: 10})
	b.Record(2, weak, benchmark.Sample{PerSecond: 20})
	p := benchmark.Promise{Of: strong, To: weak, Figure: benchmark.PerSecond}
	if got := b.Judge([]benchmark.Promise{p}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	b.Record(2, strong, benchmark.Sample{PerSecond: 5})
	if v := only(t, b.Judge([]benchmark.Promise{p})); v.Median != 0.25 || v.Rounds != 1 {
		t.Errorf("%+v", v)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	b.Record(1, strong, benchmark.Sample{Max: 15})
	for _, tt := range []struct {
		least, most float64
		met         bool
	}{
		{0, 0, true},
		{15, 0, true}, {15.1, 0, false},
		{0, 15, true}, {0, 14.9, false},
	} {
		v := only(t, b.Judge([]benchmark.Promise{{Of: strong, Figure: benchmark.Max, AtLeast: tt.least, AtMost: tt.most}}))
		if v.Met != tt.met || v.Ratio || v.Median != 15 {
			t.Errorf("15 ms, at least %v, at most %v: %+v", tt.least, tt.most, v)
		}
	}
}

func only(t *testing.T, verdicts []benchmark.Verdict) benchmark.Verdict {
	t.Helper()
	if len(verdicts) != 1 {
		t.Fatalf("%d verdicts, want 1: %+v", len(verdicts), verdicts)
	}
	return verdicts[0]
}

func TestRowsAreMedians(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	for round, s := range []benchmark.Sample{{PerSecond: 1, P99: 9}, {PerSecond: 5, P99: 7}, {PerSecond: 3, P99: 8}} {
		b.Record(round+1, strong, s)
	}
	b.Record(1, weak, benchmark.Sample{PerSecond: 4})
	rows := b.Rows()
	if len(rows) != 2 || rows[0].Key != strong || rows[0].PerSecond != 3 || rows[0].P99 != 8 || len(rows[0].Rounds) != 3 || rows[1].PerSecond != 4 {
		t.Errorf("%+v", rows)
	}
}

// A median that left a figure out would say that it was not measured.
func TestMediansHaveEveryFigure(t *testing.T) {
	t.Parallel()
	var s benchmark.Sample
	fields := reflect.ValueOf(&s).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.CanFloat() {
			f.SetFloat(1.23456)
		} else {
			f.SetInt(3)
		}
	}
	var b benchmark.Book
	b.Record(1, strong, s)
	got := reflect.ValueOf(b.Rows()[0].Sample)
	for i := range got.NumField() {
		if f := got.Field(i); f.CanFloat() && f.Float() != 1.235 || f.CanInt() && f.Int() != 3 {
			t.Errorf("%s: %v", got.Type().Field(i).Name, f)
		}
	}
}

// Only what is answered within the window counts, and its workers run side by side.
func TestMeasureCountsTheWindow(t *testing.T) {
	t.Parallel()
	var answered, early atomic.Int64
	w := benchmark.Window{WarmUp: 100 * time.Millisecond, Length: time.Second}
	warm := time.Now().Add(w.WarmUp)
	pace := benchmark.Clients(4, func(int) func() error {
		return func() error {
			<-time.After(5 * time.Millisecond)
			answered.Add(1)
			if time.Now().Before(warm) {
				early.Add(1)
			}
			return nil
		}
	})
	samples, err := w.Measure(benchmark.NewMeter(os.Getpid()), pace, pace)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != 2 {
		t.Fatalf("%d samples, want one for each load", len(samples))
	}
	counted := 0
	for _, s := range samples {
		counted += s.Requests
		if s.Requests == 0 || s.P50 < 5 || math.Abs(s.PerSecond-float64(s.Requests)) > 1e-6 {
			t.Errorf("%+v", s)
		}
	}
	if int64(counted) > answered.Load()-early.Load() {
		t.Errorf("%d of %d requests count, though %d were answered during the warm-up", counted, answered.Load(), early.Load())
	}
}

func TestMeasureFailsWithARequest(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	w := benchmark.Window{Length: time.Hour}
	_, err := w.Measure(benchmark.NewMeter(), benchmark.Clients(2, func(n int) func() error {
		return func() error {
			if n == 1 {
				return boom
			}
			<-time.After(time.Millisecond)
			return nil
		}
	}))
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	var b benchmark.Book
	b.Record(1, strong, benchmark.Sample{Requests: 10, PerSecond: 1000, P50: 0.5, P99: 20, Max: 30, LoadCores: 0.5, ServerCores: 1.5, OtherCores: 0.25})
	r := benchmark.Result{
		Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Command: "make it", Seconds: 5, Machine: benchmark.Machine{Cores: 2},
		Versions: map[string]string{"wrk": "4.1", "etcd": "3.7"}, Rows: b.Rows(), Problems: []string{"round 2, etcd: gone"}, Absent: []string{"no caddy here"}, Ratios: b.Judge([]benchmark.Promise{
			{What: "slow", Of: strong, Figure: benchmark.Max, AtMost: 15},
		})}
	out := r.Provenance() + r.Tables()
	for _, want := range []string{
		"| slow | 64 | 30.00 ms |  | 30.00 to 30.00 | 1 | ≤ 15 ms | **missed** |\n",
		"| ours | strong |  | 64 | 1000 | 0.50 ms | 20 ms | 30 ms | 0.50 | 1.50 | 0.25 | 1500 µs | 0 % | 1 |\n",
		"\n- not measured: round 2, etcd: gone\n",
		"`make it` on 2026-01-02, each measurement 5 s: 2 cores",
		"; etcd: 3.7; wrk: 4.1.\n",
		"\n**Not installed, so not measured:** no caddy here\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestSavedIsLoaded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a", "b.json") // folders are made
	var b benchmark.Book
	b.Record(1, strong, benchmark.Sample{PerSecond: 1000, P999: 3.5, CPUMicros: 17.5})
	want := benchmark.Result{Command: "make it", Rows: b.Rows(), Absent: []string{"caddy"}}
	if err := benchmark.Save(file, want); err != nil {
		t.Fatal(err)
	}
	if got, err := benchmark.ReadResult(file); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := []string{"a", "b", "c"}
	same := func(s string) string { return s }
	for list, want := range map[string]string{"": "a b c", "c,a": "a c"} {
		if got, err := benchmark.Choose(list, all, same); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	if _, err := benchmark.Choose("a,x", all, same); err == nil || !strings.Contains(err.Error(), `no "x", but a, b, c`) {
		t.Errorf("got %v", err)
	}
}
