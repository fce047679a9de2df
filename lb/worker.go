package lb

import (
	"runtime"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/edge/loop"
)

// worker is one goroutine. All that has no lock belongs to it.
type worker struct {
	*loop.Loop
	b    *Balancer
	of   *workers
	turn int // among them

	guests  map[*guest]*seat    // here
	stock   map[*backend]*stock // connections that are idle
	cleared time.Time           // of stocks that are empty
	served  uint64              // events
	gone    chan<- struct{}
	stopped bool

	clock   *edge.DateClock
	in, out []byte   // what was received last, and what is to be sent
	rooms   [][]byte // for long answers, of which few are under way at once
	due     []*link  // to which something is to be sent at the end of this turn
	// Who was answered, and may have sent more.
	answered []*seat
	hw       headWriter
	req      plainRequest
	ans      answer

	// Bundles to which frames are to be sent at the end of this turn.
	loaded []*bundle
	told   *loop.Mail[*ride] // rides that have ended
	aboard int               // rides that have not
}

const (
	// receiveMost is how many bytes are received at once: an answer that is copied whole,
	// and its head.
	receiveMost = copyAnswer + 8<<10
	// tidyEvery is how often stocks of no connections are forgotten.
	tidyEvery = time.Second
	// breathe is after how many events other goroutines get a turn, where workers have all
	// of Go's processors.
	breathe = 16
)

func newWorker(b *Balancer, of *workers, l *loop.Loop) *worker {
	return &worker{
		Loop: l, b: b, of: of, turn: len(of.all), guests: make(map[*guest]*seat), stock: make(map[*backend]*stock),
		clock: &b.clock, in: make([]byte, receiveMost), told: loop.NewMail[*ride](l),
	}
}

// run serves until close.
func (w *worker) run() {
	t := loop.Turns{Begin: w.arrivals, End: w.endTurn, Last: w.last, Idle: func() bool { return len(w.guests) > 0 || len(w.stock) > 0 }}
	if runtime.GOMAXPROCS(0) <= len(w.of.all) {
		t.Each = w.yield
	}
	w.Run(t)
}

// yield gives other goroutines a turn now and then.
func (w *worker) yield() {
	if w.served++; w.served%breathe == 0 {
		runtime.Gosched()
	}
}

// arrivals looks at the rides that have ended.
func (w *worker) arrivals() {
	for _, r := range w.told.Take() {
		w.arrive(r)
	}
}

func (w *worker) endTurn() {
	if w.Now.Sub(w.cleared) >= tidyEvery {
		w.cleared = w.Now
		for be, s := range w.stock {
			if len(s.idle) == 0 && s.out == 0 {
				delete(w.stock, be)
			}
		}
	}
	w.flush()
	w.tellGone()
}

// drain begins to end all seats, and says on gone when the last one has.
func (w *worker) drain(gone chan<- struct{}) {
	w.gone = gone
	for _, s := range w.guests {
		if !s.busy() {
			s.close()
		}
	}
}

func (w *worker) tellGone() {
	if w.gone != nil && len(w.guests) == 0 && w.aboard == 0 {
		w.gone <- struct{}{}
		w.gone = nil
	}
}

// cut ends a guest's connection, whatever it carries.
func (w *worker) cut(g *guest) {
	if s := w.guests[g]; s != nil {
		s.close()
	}
}

// stop has it end.
func (w *worker) stop() {
	w.stopped = true
	w.Stop()
}

// last gives everything up. A guest that came late is closed as well.
func (w *worker) last() {
	for _, s := range w.guests {
		s.close()
	}
	w.arrivals()
	w.Each(func(m loop.Member) {
		if l, ok := m.(*link); ok {
			l.drop()
		}
	})
}
