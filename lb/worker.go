package lb

import (
	"runtime"
	"sync"
	"time"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/edge/poll"
	"go.uber.org/zap"
)

// worker is one goroutine. All that has no lock belongs to it.
type worker struct {
	b      *Balancer
	of     *workers
	log    *zap.Logger
	poller *poll.Poller

	slots   []slot              // by descriptor
	tag     int32               // of the newest
	guests  map[*guest]*seat    // here
	stock   map[*backend]*stock // connections that are idle
	pending bool                // somebody may wait for a tick
	ticked  time.Time
	now     time.Time // when the news came that are being served
	served  uint64    // events
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
	rides  []*ride // that have ended
	aboard int     // rides that have not

	mu    sync.Mutex
	posts []func()
	told  []*ride // that have ended since
	ended bool
}

// slot is who has a descriptor. The tag tells its events from those of whoever had the
// same one before.
type slot struct {
	tag int32
	who member
}

// member is a socket of a worker's: a seat, or a link.
type member interface {
	ready(what uint32)
	tick()
	panicked()
}

const (
	// receiveMost is how many bytes are received at once: an answer that is copied whole,
	// and its head.
	receiveMost = copyAnswer + 8<<10
	// How often members look at their deadlines while one of them waits for something, and
	// while none does.
	tickSoon  = 50 * time.Millisecond
	tickLater = time.Second
	// breathe is after how many events other goroutines get a turn, where workers have all
	// of Go's processors.
	breathe = 16
)

func newWorker(b *Balancer, of *workers, p *poll.Poller, log *zap.Logger) *worker {
	return &worker{
		b: b, of: of, log: log, poller: p, guests: make(map[*guest]*seat), stock: make(map[*backend]*stock),
		clock: &b.clock, in: make([]byte, receiveMost), now: time.Now(),
	}
}

// post has the worker do something soon, and says whether it still does anything.
func (w *worker) post(do func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.posts = append(w.posts, do)
	w.poller.Wake()
	return true
}

// run serves until close.
func (w *worker) run() {
	crowded := runtime.GOMAXPROCS(0) <= len(w.of.all)
	for !w.stopped {
		events, err := w.poller.Wait(w.patience())
		if err != nil {
			panic("a poller of ours does not wait: " + err.Error())
		}
		w.now = time.Now()
		for _, do := range w.posted() {
			do()
		}
		for _, r := range w.rides {
			w.arrive(r)
		}
		for _, e := range events {
			if w.served++; crowded && w.served%breathe == 0 {
				runtime.Gosched()
			}
			w.serve(e)
		}
		w.tick()
		w.flush()
		w.tellGone()
	}
	w.end()
}

// posted takes what is to be done, and rides that have ended.
func (w *worker) posted() []func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	posts := w.posts
	w.posts = nil
	clear(w.rides)
	w.rides, w.told = w.told, w.rides[:0]
	return posts
}

// serve hands an event to whom it is for. A bug costs one connection.
func (w *worker) serve(e poll.Event) {
	if e.FD >= len(w.slots) || w.slots[e.FD].tag != e.Tag || w.slots[e.FD].who == nil {
		return
	}
	w.guard(w.slots[e.FD].who, func(m member) { m.ready(e.What) })
}

func (w *worker) guard(m member, do func(member)) {
	defer func() {
		if v := recover(); v != nil {
			w.log.Error("a worker panicked", zap.Any("panic", v), zap.Stack("stack"))
			m.panicked()
		}
	}()
	do(m)
}

// patience is how long to wait for news.
func (w *worker) patience() time.Duration {
	switch {
	case w.pending:
		return tickSoon
	case len(w.guests) > 0 || len(w.stock) > 0:
		return tickLater
	}
	return -1
}

// tick has all members look at their deadlines, now and then.
func (w *worker) tick() {
	since := w.now.Sub(w.ticked)
	if since < tickSoon || !w.pending && since < tickLater {
		return
	}
	w.ticked, w.pending = w.now, false
	for i := range w.slots {
		if m := w.slots[i].who; m != nil {
			w.guard(m, member.tick)
		}
	}
	for be, s := range w.stock {
		if len(s.idle) == 0 && s.out == 0 {
			delete(w.stock, be)
		}
	}
}

// add gives a descriptor to a member.
func (w *worker) add(fd int, m member) error {
	for fd >= len(w.slots) {
		w.slots = append(w.slots, make([]slot, max(64, len(w.slots)))...)
	}
	w.tag++
	w.slots[fd] = slot{w.tag, m}
	if err := w.poller.Add(fd, w.tag); err != nil {
		w.slots[fd].who = nil
		return err
	}
	return nil
}

// remove takes a descriptor away from its member. It stays open.
func (w *worker) remove(fd int) {
	w.slots[fd].who = nil
	_ = w.poller.Remove(fd) // it was added
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

// end gives everything up.
func (w *worker) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	for _, do := range w.posted() { // a guest that came late is closed below
		do()
	}
	for _, s := range w.guests {
		s.close()
	}
	for _, r := range w.rides {
		w.arrive(r)
	}
	for i := range w.slots {
		if l, ok := w.slots[i].who.(*link); ok {
			l.drop()
		}
	}
	_ = w.poller.Close()
}
