package edge

import (
	"bytes"
	"errors"
	"time"

	"github.com/dengine/dengine/internal/edge/sock"
	"go.uber.org/zap"
)

// Ask is what one connection waits for.
type Ask interface {
	// In is what has come: the request, and what is behind it. It is good until Reply.
	In() []byte
	// Reply sends the answers to the requests of which In begins with so many bytes, and
	// keeps nothing of them. Where none is taken, the server answers. It is called once.
	Reply(taken int, answers []byte)
}

// asks are what AtOnce.Later is asked for together.
type asks struct {
	all     []Ask
	seats   []*quickSeat
	replied []bool
}

// add adds a seat, which its loop lets go of. No news will come of what is there to be read
// already.
func (a *asks) add(s *quickSeat) {
	s.asks, s.at = a, len(a.all)
	a.all, a.seats, a.replied = append(a.all, s), append(a.seats, s), append(a.replied, false)
	if s.more {
		s.state.Store(seatAwaited)
	} else {
		s.state.Store(seatAway)
	}
}

// In implements Ask.
func (s *quickSeat) In() []byte { return s.in }

// Reply implements Ask.
func (s *quickSeat) Reply(taken int, answers []byte) {
	if s.refused = taken == 0; !s.refused {
		n, err := sock.SendAll(uintptr(s.fd), answers)
		if s.err = err; n < len(answers) {
			s.rest = bytes.Clone(answers[n:])
		}
		s.keep(s.in[taken:])
		s.served++
		s.since = time.Now()
	}
	s.giveBack()
}

// giveBack gives a seat that was away back to its loop, with a word only where that has
// something to do.
func (s *quickSeat) giveBack() {
	s.asks.replied[s.at] = true
	s.look = len(s.in) > 0
	if s.err == nil && !s.refused && !s.look && len(s.rest) == 0 && s.state.CompareAndSwap(seatAway, seatHere) {
		return
	}
	if s.state.Store(seatAwaited); !s.loop.back.Leave(s) { // the loop has ended
		s.part()
	}
}

// errBug ends a connection whose request was perhaps carried out, and perhaps not.
var errBug = errors.New("a bug was met while an answer was waited for")

// askLater has AtOnce answer what came together. After a bug nobody knows what was done for
// those without an answer: the server would do it again.
func (q *Quick) askLater(what Next, a *asks) {
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("answering at once panicked", zap.Any("panic", v), zap.Stack("stack"))
		}
		for i, s := range a.seats {
			if !a.replied[i] {
				s.err = errBug
				s.giveBack()
			}
		}
		clear(a.all)
		clear(a.seats)
		a.all, a.seats, a.replied = a.all[:0], a.seats[:0], a.replied[:0]
		q.asks.Put(a)
	}()
	q.answer.Later(what, a.all, q.date)
}
