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
	Max         float64 `json:"max_ms,omitempty"`
	LoadCores   float64 `json:"load_cores,omitempty"`   // CPU time of the program that makes the load; 1 is all of a core
	ServerCores float64 `json:"server_cores,omitempty"` // of all servers together
	OtherCores  float64 `json:"other_cores,omitempty"`  // of all else on the machine
	Stolen      float64 `json:"stolen_percent,omitempty"`
	KeyBytes    float64 `json:"bytes_per_key,omitempty"` // of memory, beside the key and the value
}

// NewSample is the sample of requests that took so long.
func NewSample(took ...[]time.Duration) Sample {
	all := slices.Concat(took...)
	if len(all) == 0 {
		return Sample{}
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(rank(all, q)) / float64(time.Millisecond) }
	return Sample{Requests: len(all), P50: ms(0.5), P99: ms(0.99), Max: ms(1)}
}

// With adds what the measurement used.
func (s Sample) With(u Use) Sample {
	s.LoadCores, s.ServerCores, s.OtherCores, s.Stolen = u.Load, u.Servers, u.Others, u.Stolen
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
	return fmt.Sprintf("%.0f/s, p50 %.2f ms, p99 %.2f ms, max %.2f ms, %s", s.PerSecond, s.P50, s.P99, s.Max, cores)
}

// rounded cuts off digits that mean nothing.
func (s Sample) rounded() Sample {
	for _, v := range []*float64{&s.PerSecond, &s.P50, &s.P99, &s.Max, &s.LoadCores, &s.ServerCores, &s.OtherCores, &s.Stolen, &s.KeyBytes} {
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
	Max         Figure = "max ms"
	ServerCores Figure = "server cores"
	KeyBytes    Figure = "memory B/key"
	PerCPU      Figure = "requests/CPU s" // a second of CPU time, of load and servers together
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
	case Max:
		return s.Max
	case ServerCores:
		return s.ServerCores
	case KeyBytes:
		return s.KeyBytes
	case PerCPU:
		return s.PerSecond / (s.LoadCores + s.ServerCores)
	}
	return math.NaN()
}

// median is that of each figure.
func median(samples []Sample) Sample {
	of := func(get func(Sample) float64) float64 {
		var values []float64
		for _, s := range samples {
			values = append(values, get(s))
		}
		return Quantile(values, 0.5)
	}
	return Sample{
		Requests:    int(of(func(s Sample) float64 { return float64(s.Requests) })),
		PerSecond:   of(func(s Sample) float64 { return s.PerSecond }),
		P50:         of(func(s Sample) float64 { return s.P50 }),
		P99:         of(func(s Sample) float64 { return s.P99 }),
		Max:         of(func(s Sample) float64 { return s.Max }),
		LoadCores:   of(func(s Sample) float64 { return s.LoadCores }),
		ServerCores: of(func(s Sample) float64 { return s.ServerCores }),
		OtherCores:  of(func(s Sample) float64 { return s.OtherCores }),
		Stolen:      of(func(s Sample) float64 { return s.Stolen }),
		KeyBytes:    of(func(s Sample) float64 { return s.KeyBytes }),
	}
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
