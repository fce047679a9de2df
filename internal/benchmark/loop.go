package benchmark

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Load is a closed loop: each of its clients sends a request, waits for its answer, and
// sends the next one, until the span is over. It returns how long those requests took
// that count. An error ends the measurement: what fails is not fast.
type Load func(Span) ([]time.Duration, error)

// Span is the time of one measurement.
type Span struct {
	ctx      context.Context // of the measurement; its cause is the first error
	from, to time.Time
}

// Counts says whether an answer that came then does.
func (s Span) Counts(then time.Time) bool { return !then.Before(s.from) && then.Before(s.to) }

// Over says whether nothing is to be sent any more.
func (s Span) Over(now time.Time) bool { return !now.Before(s.to) || s.Failed() }

// Failed says whether the measurement has failed.
func (s Span) Failed() bool { return s.ctx.Err() != nil }

// Clients is a load of n goroutines. each returns what one of them calls for one request
// after the other.
func Clients(n int, each func(client int) func() error) Load {
	return func(s Span) ([]time.Duration, error) {
		took, errs := make([][]time.Duration, n), make([]error, n)
		var clients sync.WaitGroup
		ctx, fail := context.WithCancel(s.ctx)
		defer fail()
		s.ctx = ctx
		for i := range n {
			request := each(i)
			clients.Go(func() {
				if took[i], errs[i] = s.repeat(request); errs[i] != nil {
					fail()
				}
			})
		}
		clients.Wait()
		return slices.Concat(took...), cmp.Or(errs...)
	}
}

// repeat is one client.
func (s Span) repeat(request func() error) (took []time.Duration, err error) {
	for start := time.Now(); !s.Over(start); {
		if err := request(); err != nil {
			return nil, err
		}
		end := time.Now()
		if s.Counts(end) {
			took = append(took, end.Sub(start))
		}
		start = end
	}
	return took, nil
}

// Window is when a measurement is made.
type Window struct {
	WarmUp time.Duration // of the loads, before it
	Length time.Duration // answers that come within this count
}

// Measure runs loads side by side and returns a sample for each. The CPU time in
// every sample is that of all of them.
func (w Window) Measure(m Meter, loads ...Load) ([]Sample, error) {
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	s := Span{ctx: ctx, from: time.Now().Add(w.WarmUp)}
	s.to = s.from.Add(w.Length)
	took := make([][]time.Duration, len(loads))
	var running sync.WaitGroup
	for i, load := range loads {
		running.Go(func() {
			var err error
			if took[i], err = load(s); err != nil {
				fail(err)
			}
		})
	}
	s.await(s.from)
	use, err := m.Over(func() { s.await(s.to) })
	running.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	var out []Sample
	for _, t := range took {
		sample := NewSample(t).With(use)
		sample.PerSecond = float64(sample.Requests) / w.Length.Seconds()
		out = append(out, sample)
	}
	return out, nil
}

// await waits until then, or until the measurement has failed.
func (s Span) await(then time.Time) {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
	case <-timer.C:
	}
}
