package benchmark

import "fmt"

// Key says what was measured.
type Key struct {
	System      string `json:"system"`
	What        string `json:"what"`
	At          string `json:"at,omitempty"`
	Connections int    `json:"connections,omitempty"` // as many requests are in flight
}

// String implements fmt.Stringer.
func (k Key) String() string {
	s := k.System + ", " + k.What
	if k.At != "" {
		s += " at " + k.At
	}
	if k.Connections > 0 {
		s += fmt.Sprintf(", %d connections", k.Connections)
	}
	return s
}

// Row is what all rounds found of one thing.
type Row struct {
	Key
	Sample         // the median of each figure
	Rounds []Round `json:"rounds"`
}

// Round is what one round found.
type Round struct {
	Round int `json:"round"` // from 1
	Sample
}

// Book collects samples as they are taken, each thing at most once in a round.
type Book struct {
	rows []*Row
}

// Record adds a sample.
func (b *Book) Record(round int, k Key, s Sample) {
	r := b.find(k)
	if r == nil {
		r = &Row{Key: k}
		b.rows = append(b.rows, r)
	}
	r.Rounds = append(r.Rounds, Round{round, s.rounded()})
}

func (b *Book) find(k Key) *Row {
	for _, r := range b.rows {
		if r.Key == k {
			return r
		}
	}
	return nil
}

// Find returns what a round found of one thing; false where it found nothing.
func (b *Book) Find(round int, k Key) (Sample, bool) {
	if row := b.find(k); row != nil {
		for _, r := range row.Rounds {
			if r.Round == round {
				return r.Sample, true
			}
		}
	}
	return Sample{}, false
}

// Rows are the medians, in the order in which things were first recorded.
func (b *Book) Rows() []Row {
	var out []Row
	for _, r := range b.rows {
		var samples []Sample
		for _, one := range r.Rounds {
			samples = append(samples, one.Sample)
		}
		out = append(out, Row{r.Key, median(samples), r.Rounds})
	}
	return out
}
