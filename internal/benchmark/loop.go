package benchmark

import (
	"context"
	"sync"
	"time"
)

// Load is a closed loop: each worker sends a request, waits for its answer, and
// sends the next one.
type Load struct {
	Workers int
	// New returns what one worker calls for one request after the other. An error
	// ends the measurement: what fails is not fast.
	New func(worker int) func() error
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
	r := &runner{ctx: ctx, fail: fail, from: time.Now().Add(w.WarmUp)}
	r.to = r.from.Add(w.Length)
	took := make([][][]time.Duration, len(loads))
	var workers sync.WaitGroup
	for i, l := range loads {
		took[i] = make([][]time.Duration, l.Workers)
		for n := range l.Workers {
			request := l.New(n)
			workers.Go(func() { took[i][n] = r.work(request) })
		}
	}
	r.await(r.from)
	use, err := m.Over(func() { r.await(r.to) })
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	var out []Sample
	for _, t := range took {
		s := NewSample(t...).With(use)
		s.PerSecond = float64(s.Requests) / w.Length.Seconds()
		out = append(out, s)
	}
	return out, nil
}

// runner is one measurement.
type runner struct {
	ctx      context.Context // of the measurement; its cause is the first error
	fail     context.CancelCauseFunc
	from, to time.Time
}

// work is one worker; it returns how long the requests took that count.
func (r *runner) work(request func() error) (took []time.Duration) {
	for start := time.Now(); start.Before(r.to) && r.ctx.Err() == nil; {
		if err := request(); err != nil {
			r.fail(err)
			return nil
		}
		end := time.Now()
		if !end.Before(r.from) && end.Before(r.to) {
			took = append(took, end.Sub(start))
		}
		start = end
	}
	return took
}

// await waits until then, or until the measurement has failed.
func (r *runner) await(then time.Time) {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
	case <-timer.C:
	}
}
