package healthcheck

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// retryFloor is the first pause after a long poll failed; it doubles up to
// retryCeil, or the checks' interval where that is shorter. A node that was
// restarted may lead a moment later, and its role must be known by then.
const (
	retryFloor = 10 * time.Millisecond
	retryCeil  = 40 * time.Millisecond
)

// Observation is what a watcher knows of its backend at one moment.
type Observation struct {
	Up     bool   // answers, by the rise and fall counts
	Report Report // what it last answered; the zero value while it is down
	Err    error  // why it is down
}

// Watcher follows the role of one backend.
//
// In ModeRole one goroutine keeps a long poll open, so that a change of role
// arrives within about a millisecond and the end of the process at once, and a
// second one asks without waiting each interval, since a hung backend keeps a
// long poll open for ever. In ModePoll only the second one runs.
type Watcher struct {
	prober  *Prober
	checks  Checks
	observe func(Observation)
	log     *zap.Logger
	poke    chan struct{}

	mu        sync.Mutex
	threshold threshold
	answers   uint64 // answers delivered so far: an older one never overrides a newer
	noRole    bool   // the backend has no /role: poll it
}

// NewWatcher prepares a watcher of the health port at addr (host:port). observe
// gets every observation, one at a time; it must not block.
func NewWatcher(addr string, c Checks, log *zap.Logger, observe func(Observation)) *Watcher {
	return &Watcher{
		prober:    NewProber(addr, c),
		checks:    c,
		observe:   observe,
		log:       log.With(zap.String("health", addr)),
		poke:      make(chan struct{}, 1),
		threshold: threshold{rise: c.Rise, fall: c.Fall},
		noRole:    c.Mode == ModePoll,
	}
}

// Poke asks for a check now: a request to the backend has just failed.
func (w *Watcher) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Run watches until ctx ends. A long poll that is open then may outlast it by
// up to its wait, on a goroutine that only waits for the answer to throw away.
func (w *Watcher) Run(ctx context.Context) {
	defer w.prober.Close()
	var wg sync.WaitGroup
	if w.checks.Mode == ModeRole {
		wg.Go(func() { w.longPolls(ctx) })
	}
	w.checkEach(ctx)
	wg.Wait()
}

// longPolls keeps one long poll open.
func (w *Watcher) longPolls(ctx context.Context) {
	pause, unchanged := retryFloor, retryFloor
	epoch, wait := "", time.Millisecond // the first answer comes at once
	type answer struct {
		report Report
		err    error
	}
	for ctx.Err() == nil {
		asked := time.Now()
		got := make(chan answer, 1)
		go func() {
			r, err := w.prober.Role(epoch, wait)
			got <- answer{r, err}
		}()
		var a answer
		select {
		case a = <-got:
		case <-ctx.Done():
			return
		}
		if a.err != nil {
			w.fail(a.err, w.version())
			epoch = ""
			sleep(ctx, pause)
			pause = min(2*pause, retryCeil, w.checks.Interval)
			continue
		}
		pause = retryFloor
		w.answer(a.report)
		if a.report.Epoch == epoch && time.Since(asked) < wait/2 {
			// Nothing new and no wait: the backend stops, and may be back in a moment;
			// or it has too many waiters, or something in between does not let
			// requests wait, and then it will be so again.
			sleep(ctx, unchanged)
			unchanged = min(2*unchanged, w.checks.Interval)
		} else {
			unchanged = retryFloor
		}
		epoch, wait = a.report.Epoch, max(w.checks.LongPoll, time.Millisecond)
		if w.checks.LongPoll == 0 {
			sleep(ctx, w.checks.Interval)
		}
	}
}

// checkEach asks without waiting, each interval and when poked.
func (w *Watcher) checkEach(ctx context.Context) {
	for ctx.Err() == nil {
		before := w.version()
		var r Report
		var err error
		if w.polls() {
			r, err = w.prober.Poll()
			if err == nil && !r.Ready {
				err = errors.New(r.Reason)
			}
		} else {
			r, err = w.prober.Role("", 0)
		}
		if err != nil {
			w.fail(err, before)
		} else {
			w.check(r, before)
		}
		select {
		case <-time.After(w.checks.Interval):
		case <-w.poke:
		case <-ctx.Done():
		}
	}
}

func (w *Watcher) version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers
}

func (w *Watcher) polls() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noRole
}

// answer takes what a long poll brought. Where a check brought something newer
// meanwhile, the next long poll names the old epoch and ends at once.
func (w *Watcher) answer(r Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(r)
}

// check takes what was asked for when `before` answers had come in. One that has
// come since then may be newer, and nothing would put that right until the next check.
func (w *Watcher) check(r Report, before uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before == w.answers {
		w.take(r)
	}
}

// take notes an answer; the lock is held.
func (w *Watcher) take(r Report) {
	w.answers++
	if r.Epoch != "" {
		w.noRole = false
	}
	o := Observation{Up: w.threshold.feed(true, false)}
	if o.Up {
		o.Report = r
	}
	w.observe(o)
}

// fail counts a failed check that began when `before` answers had come in; an
// answer since then outweighs it.
func (w *Watcher) fail(err error, before uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before != w.answers {
		return
	}
	if errors.Is(err, errNoRole) {
		if !w.noRole {
			w.log.Info("backend has no /role: polling it", zap.Error(err))
		}
		w.noRole = true
		return
	}
	wasUp := w.threshold.up
	if up := w.threshold.feed(false, isHard(err)); !up {
		if wasUp {
			w.log.Info("backend is down", zap.Error(err))
		}
		w.observe(Observation{Err: err})
	}
}

// isHard tells a backend that is certainly not serving from one that is slow.
func isHard(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, fasthttp.ErrConnectionClosed)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
