package edge

import (
	"github.com/dengine/dengine/internal/edge/loop"
	"github.com/dengine/dengine/internal/edge/poll"
	"go.uber.org/zap"
)

// quickLoop serves the connections of a Quick that have a seat in it.
type quickLoop struct {
	*loop.Loop
	of    *Quick
	seats map[*quickSeat]struct{}
	back  *loop.Mail[*quickSeat]
	asks  [laterKinds]*asks // of this turn, by what they are; nil: there are none
	ends  bool              // no more seats are given
	gone  chan<- struct{}   // is closed when none is left

	in, out []byte // what was received last, and what is to be sent
}

// bufferMost is the most memory that is kept for later answers.
const bufferMost = 256 << 10

func newQuickLoop(q *Quick) (*quickLoop, error) {
	l, err := loop.New(poll.InGo, q.log)
	if err != nil {
		return nil, err
	}
	return &quickLoop{Loop: l, of: q, seats: make(map[*quickSeat]struct{}), back: loop.NewMail[*quickSeat](l), in: make([]byte, partMost)}, nil
}

func (l *quickLoop) run() {
	l.Run(loop.Turns{Begin: l.comeBack, End: l.endTurn, Idle: func() bool { return len(l.seats) > 0 }, Last: l.last})
}

// comeBack looks after seats that were away.
func (l *quickLoop) comeBack() {
	for _, s := range l.back.Take() {
		l.Guard(s, func(loop.Member) { s.comeBack() })
	}
}

// endTurn has those answered together that came together.
func (l *quickLoop) endTurn() {
	for what, a := range l.asks {
		if a != nil {
			l.asks[what] = nil
			l.of.later.Go(func() { l.of.askLater(Next(what), a) })
		}
	}
	if l.gone != nil && len(l.seats) == 0 {
		close(l.gone)
		l.gone = nil
	}
}

// ask has the AtOnce answer what it can now. Where that meets a bug, the server answers,
// and meets it in a way that is seen.
func (l *quickLoop) ask(in []byte) (taken int, out []byte, next Next) {
	defer func() {
		if v := recover(); v != nil {
			l.of.log.Error("answering at once panicked", zap.Any("panic", v), zap.Stack("stack"))
			taken, out, next = 0, nil, NextServed
		}
	}()
	taken, out, next = l.of.answer.Now(in, l.out[:0], l.of.clock.Line(l.Now))
	if l.out = out; cap(out) > bufferMost {
		l.out = nil
	}
	return taken, out, next
}

// later has what a seat's bytes begin with answered together with what else comes in this
// turn.
func (l *quickLoop) later(what Next, s *quickSeat) {
	if l.asks[what] == nil {
		l.asks[what] = l.of.asks.Get().(*asks) //nolint:forcetypeassert // New makes nothing else
	}
	l.asks[what].add(s)
}

// drain ends seats, each behind what is under way.
func (l *quickLoop) drain(gone chan<- struct{}) {
	l.ends, l.gone = true, gone
	for s := range l.seats {
		s.drain()
	}
}

// last ends what is left. A seat that is away ends when it comes back.
func (l *quickLoop) last() {
	for _, s := range l.back.Take() {
		s.state.Store(seatHere)
	}
	for s := range l.seats {
		if !s.away() {
			s.close()
		}
	}
	if l.gone != nil {
		close(l.gone)
	}
}
