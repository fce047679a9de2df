package benchmark

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Sample is what one measurement found. What was not measured is zero.
type Sample struct {
	Requests    int     `json:"requests,omitempty"`
	PerSecond   float64 `json:"per_second,omitempty"` // requests
	P50         float64 `json:"p50_ms,omitempty"`
	P99         float64 `json:"p99_ms,omitempty"`
	P999        float64 `json:"p999_ms,omitempty"`
	Max         float64 `json:"max_ms,omitempty"`
	LoadCores   float64 `json:"load_cores,omitempty"`   // CPU time of the program that makes the load; 1 is all of a core
	ServerCores float64 `json:"server_cores,omitempty"` // of all servers together
	OtherCores  float64 `json:"other_cores,omitempty"`  // of all else on the machine
	Stolen      float64 `json:"stolen_percent,omitempty"`

	// Of the one program among the servers that the measurement is about.
	CPUMicros float64 `json:"cpu_us_per_request,omitempty"`
	RSS       float64 `json:"rss_mib,omitempty"`

	Written float64 `json:"written_bytes_per_second,omitempty"` // by all servers together, to disks
	Flushes float64 `json:"flushes_per_second,omitempty"`       // of all disks of the machine

	KeyBytes float64 `json:"bytes_per_key,omitempty"` // of memory, beside the key and the value

	Offered float64 `json:"offered_per_second,omitempty"` // requests, where they came at a fixed rate
}

// floats are all figures but the number of requests.
func (s *Sample) floats() []*float64 {
	return []*float64{
		&s.PerSecond, &s.P50, &s.P99, &s.P999, &s.Max, &s.LoadCores, &s.ServerCores, &s.OtherCores, &s.Stolen,
		&s.CPUMicros, &s.RSS, &s.Offered, &s.KeyBytes, &s.Written, &s.Flushes,
	}
}

// NewSample is the sample of requests that took so long.
func NewSample(took ...[]time.Duration) Sample {
	all := slices.Concat(took...)
	if len(all) == 0 {
		return Sample{}
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(rank(all, q)) / float64(time.Millisecond) }
	return Sample{Requests: len(all), P50: ms(0.5), P99: ms(0.99), P999: ms(0.999), Max: ms(1)}
}

// With adds what the measurement used.
func (s Sample) With(u Use) Sample {
	s.LoadCores, s.ServerCores, s.OtherCores, s.Stolen = u.Load, u.Servers, u.Others, u.Stolen
	s.Written, s.Flushes = u.Written, u.Flushes
	return s
}

// String is for people who wait.
func (s Sample) String() string {
	cores := fmt.Sprintf("cores: load %.2f, servers %.2f, others %.2f", s.LoadCores, s.ServerCores, s.OtherCores)
	if s.KeyBytes != 0 {
		return fmt.Sprintf("%.1f B a key", s.KeyBytes)
	}
	if s.Requests == 0 {
		return cores
	}
	if s.CPUMicros > 0 {
		cores = fmt.Sprintf("%.1f µs of CPU a request, %.0f MiB, %s", s.CPUMicros, s.RSS, cores)
	}
	return fmt.Sprintf("%.0f/s, p50 %.2f ms, p99 %.2f ms, max %.2f ms, %s", s.PerSecond, s.P50, s.P99, s.Max, cores)
}

// rounded cuts off digits that mean nothing.
func (s Sample) rounded() Sample {
	for _, v := range s.floats() {
		*v = thousandths(*v)
	}
	return s
}

func thousandths(v float64) float64 { return math.Round(1000*v) / 1000 }

// Figure names one number of a sample.
type Figure string

// The figures, as they are called in files.
const (
	PerSecond   Figure = "requests/s"
	P50         Figure = "p50 ms"
	P99         Figure = "p99 ms"
	P999        Figure = "p99.9 ms"
	Max         Figure = "max ms"
	ServerCores Figure = "server cores"
	KeyBytes    Figure = "memory B/key"
	PerCPU      Figure = "requests/CPU s" // a second of CPU time, of load and servers together
	CPUMicros   Figure = "CPU µs/request"
	RSS         Figure = "RSS MiB"
)

// get returns the figure; NaN where there is none of that name.
func (s Sample) get(f Figure) float64 {
	switch f {
	case PerSecond:
		return s.PerSecond
	case P50:
		return s.P50
	case P99:
		return s.P99
	case P999:
		return s.P999
	case Max:
		return s.Max
	case ServerCores:
		return s.ServerCores
	case KeyBytes:
		return s.KeyBytes
	case PerCPU:
		return s.PerSecond / (s.LoadCores + s.ServerCores)
	case CPUMicros:
		return s.CPUMicros
	case RSS:
		return s.RSS
	}
	return math.NaN()
}

// median is that of each figure.
func median(samples []Sample) (out Sample) {
	var requests []int
	values := make([][]float64, len(out.floats()))
	for _, s := range samples {
		requests = append(requests, s.Requests)
		for i, v := range s.floats() {
			values[i] = append(values[i], *v)
		}
	}
	out.Requests = Quantile(requests, 0.5)
	for i, v := range out.floats() {
		*v = Quantile(values[i], 0.5)
	}
	return out
}

// Quantile of values, by nearest rank: 1 is the greatest, 0.5 the median, the
// lower one of two. Zero where there are none.
func Quantile[V cmp.Ordered](values []V, q float64) V {
	if len(values) == 0 {
		return *new(V)
	}
	return rank(slices.Sorted(slices.Values(values)), q)
}

func rank[V any](sorted []V, q float64) V {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
