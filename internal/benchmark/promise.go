package benchmark

import "math"

// Promise is a ratio of two things that were measured in the same rounds, or one
// figure alone, and how large it should be.
type Promise struct {
	What    string
	Of      Key
	Figure  Figure
	To      Key     // the ratio is Of's figure by To's
	AtLeast float64 // 0: no limit
	AtMost  float64 // 0: no limit
}

// Verdict is a promise, and what was measured of it.
type Verdict struct {
	What        string  `json:"what"`
	Connections int     `json:"connections,omitempty"`
	Figure      Figure  `json:"figure"`
	Ratio       bool    `json:"ratio"`                         // of two such figures; else the figure itself
	Median      float64 `json:"median"`                        // of the rounds, the ratio taken within each
	PerCPU      float64 `json:"median_per_cpu_time,omitempty"` // the ratio of requests for the CPU time of load and servers: what others do on the machine bears less on it
	Lowest      float64 `json:"lowest"`
	Highest     float64 `json:"highest"`
	Rounds      int     `json:"rounds"`
	AtLeast     float64 `json:"at_least,omitempty"`
	AtMost      float64 `json:"at_most,omitempty"`
	Met         bool    `json:"met"` // also where there is no limit
}

// Judge compares the book with what was promised. Promises of things that no
// round measured are left out.
func (b *Book) Judge(promises []Promise) []Verdict {
	var out []Verdict
	for _, p := range promises {
		values := b.values(p)
		if len(values) == 0 {
			continue
		}
		v := Verdict{
			What: p.What, Connections: p.Of.Connections, Figure: p.Figure, Ratio: p.To != Key{},
			Median: Quantile(values, 0.5), Lowest: Quantile(values, 0), Highest: Quantile(values, 1),
			Rounds: len(values), AtLeast: p.AtLeast, AtMost: p.AtMost,
		}
		if v.Ratio && p.Figure == PerSecond {
			p.Figure = PerCPU
			v.PerCPU = Quantile(b.values(p), 0.5)
		}
		v.Met = v.Median >= p.AtLeast && (p.AtMost == 0 || v.Median <= p.AtMost)
		out = append(out, v)
	}
	return out
}

// values are what each round says of a promise. A ratio is taken within a round,
// so that a machine that is slow for a while is so for both.
func (b *Book) values(p Promise) []float64 {
	of := b.find(p.Of)
	if of == nil {
		return nil
	}
	var out []float64
	for _, r := range of.Rounds {
		v := r.get(p.Figure)
		if p.To != (Key{}) {
			v /= b.figure(p.To, r.Round, p.Figure)
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, thousandths(v))
		}
	}
	return out
}

// figure is NaN where the round has none.
func (b *Book) figure(k Key, round int, f Figure) float64 {
	if s, ok := b.Find(round, k); ok {
		return s.get(f)
	}
	return math.NaN()
}
