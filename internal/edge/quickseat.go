package edge

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"

	"github.com/dengine/dengine/internal/edge/poll"
	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

const (
	// latePart is after how long the server gets a request of which a part has not come: it
	// has the timeouts for that.
	latePart = 400 * time.Millisecond
	// partMost is the longest request whose rest is waited for here.
	partMost = 64 << 10
	// readsAtOnce is how much a connection may say before others are heard.
	readsAtOnce = 4
	// keepRoom is the most memory that a connection keeps when nothing is in it.
	keepRoom = 16 << 10
)

// quickSeat is a connection while a loop has it. While its requests are away, with
// AtOnce.Later, it is its goroutine's, and the loop only notes what is new.
type quickSeat struct {
	loop  *quickLoop
	conn  *counted // whose place the connection takes
	fd    int
	state atomic.Int32

	stay   Stay
	served uint64    // times that something was answered
	in     []byte    // what has come and is not answered
	look   bool      // at in, though nothing more has come
	rest   []byte    // of answers, for which the socket had no room
	since  time.Time // of what it waits for

	// While it is away, and how it comes back.
	asks    *asks
	at      int
	refused bool // its request is the server's
	err     error

	// These are always the loop's.
	more   bool // something may be there to be read
	ended  bool // the client sends no more
	broken bool // nothing goes either way
	last   bool // it ends behind what is under way
}

// What quickSeat.state says.
const (
	seatHere    = iota
	seatAway    // its goroutine gives it back without a word
	seatAwaited // its goroutine must tell when it does
)

// sit takes a seat. What has come already is looked at with the first news, that the socket can
// be written to. Where no more are given, requests that have come are lost with the
// connection: none of them was carried out, and their client sends them again.
func (s *quickSeat) sit() {
	l := s.loop
	if s.since = l.Now; l.ends || l.Add(s.fd, s) != nil {
		s.part()
		return
	}
	l.seats[s] = struct{}{}
}

// Ready implements loop.Member.
func (s *quickSeat) Ready(what uint32) {
	if what&(poll.Readable|poll.Ended) != 0 {
		s.more, s.ended = true, s.ended || what&poll.Ended != 0
	}
	if s.broken = s.broken || what&poll.Broken != 0; !s.away() {
		s.goOn()
	}
}

// away says whether a goroutine has the seat, which tells when it has not any more. The swap
// comes first: the goroutine may make it awaited as well.
func (s *quickSeat) away() bool {
	return s.state.CompareAndSwap(seatAway, seatAwaited) || s.state.Load() == seatAwaited
}

// goOn does what there is to do: it sends, answers what has come, and reads. Who has much to
// say has another turn.
func (s *quickSeat) goOn() {
	for reads := 0; ; reads++ {
		if s.broken || len(s.rest) == 0 && s.last {
			s.close()
			return
		}
		if len(s.rest) > 0 && !s.flush() {
			return
		}
		came := s.in
		if reads >= readsAtOnce && s.more {
			s.loop.Remind(s.fd)
			return
		}
		if !s.look {
			if came = s.receive(); came == nil {
				return
			}
		}
		if s.look = false; !s.answer(came) {
			return
		}
	}
}

// receive takes what is there, and returns all that is not answered; nil: there is nothing
// new, or the seat is gone.
func (s *quickSeat) receive() []byte {
	if !s.more {
		return nil
	}
	n, err := sock.Receive(uintptr(s.fd), s.loop.in)
	switch {
	case err == unix.EAGAIN:
		s.more = false
		return nil
	case err == io.EOF && len(s.in) > 0: // the server says what it makes of a part
		s.leave()
		return nil
	case err != nil: // nobody is left to be answered
		s.close()
		return nil
	}
	s.more = n == len(s.loop.in) || s.ended // see poll.Event
	came := s.loop.in[:n]
	if len(s.in) == 0 {
		s.since = s.loop.Now
		return came
	}
	s.in = append(s.in, came...)
	return s.in
}

// answer answers what it can of what came, and says whether there is more to do.
func (s *quickSeat) answer(came []byte) bool {
	l := s.loop
	taken, out, next := l.ask(came)
	s.keep(came[taken:])
	if taken > 0 {
		s.served++
		s.since = l.Now
	}
	if len(out) > 0 && !s.send(out) {
		return false
	}
	switch {
	case len(s.in) == 0:
	case next == NextAgain || len(s.rest) > 0:
		s.look = true
	case next == NextPart && len(s.in) < partMost:
		l.Soon()
	case next < laterKinds:
		l.later(next, s)
		return false
	default:
		s.leave()
		return false
	}
	return true
}

// keep keeps what is not answered where the next bytes do not overwrite it.
func (s *quickSeat) keep(left []byte) {
	switch {
	case len(left) > 0:
		s.in = append(s.in[:0], left...)
	case cap(s.in) > keepRoom:
		s.in = nil
	default:
		s.in = s.in[:0]
	}
}

// send sends what the socket has room for, and keeps the rest. It says whether the seat is
// still there.
func (s *quickSeat) send(out []byte) bool {
	n, err := sock.SendAll(uintptr(s.fd), out)
	if err != nil {
		s.close()
		return false
	}
	if n < len(out) {
		s.rest = bytes.Clone(out[n:])
		s.since = s.loop.Now
		s.loop.Soon()
	}
	return true
}

// flush sends more of the rest, and says whether that was all. There is a time for all of
// it: who reads a little now and then does not get more.
func (s *quickSeat) flush() bool {
	n, err := sock.SendAll(uintptr(s.fd), s.rest)
	if err != nil {
		s.close()
		return false
	}
	if s.rest = s.rest[n:]; len(s.rest) > 0 {
		s.loop.Soon()
		return false
	}
	s.rest, s.since = nil, s.loop.Now
	return true
}

// comeBack is what the loop does with a seat that was away, and has not come back without
// a word.
func (s *quickSeat) comeBack() {
	s.state.Store(seatHere)
	switch {
	case s.err != nil:
		s.close()
	case s.refused:
		s.leave()
	default:
		s.goOn()
	}
}

// Tick implements loop.Member.
func (s *quickSeat) Tick() {
	if s.state.Load() != seatHere {
		return // what answers it has its own timeouts
	}
	srv, waited := s.loop.of.server, s.loop.Now.Sub(s.since)
	switch {
	case len(s.rest) > 0:
		if s.loop.Soon(); waited >= srv.WriteTimeout {
			s.close()
		}
	case len(s.in) > 0:
		if s.loop.Soon(); waited >= min(latePart, srv.ReadTimeout) {
			s.leave()
		}
	case waited >= srv.IdleTimeout:
		s.close()
	}
}

// Panicked implements loop.Member.
func (s *quickSeat) Panicked() {
	if !s.away() {
		s.close()
		return
	}
	s.last = true
}

// drain ends it, at once or behind what is under way.
func (s *quickSeat) drain() {
	s.last = true
	switch {
	case s.away() || len(s.rest) > 0:
	case len(s.in) > 0:
		s.leave()
	default:
		s.close()
	}
}

// leave gives the connection to the server.
func (s *quickSeat) leave() {
	s.stay.SentBack(s.served)
	of := s.loop.of
	of.visits.Add(1) // before the seat is gone: see Drain
	if s.rise() {
		of.readmit(s)
	} else {
		of.visits.Done()
	}
}

// close ends the connection.
func (s *quickSeat) close() {
	if s.rise() {
		s.part()
	}
}

// rise gives the seat up, and says whether it was there.
func (s *quickSeat) rise() bool {
	_, here := s.loop.seats[s]
	if here {
		s.loop.Remove(s.fd)
		delete(s.loop.seats, s)
	}
	return here
}

// part ends the connection of who has no seat.
func (s *quickSeat) part() {
	_ = unix.Close(s.fd)
	s.conn.forget()
}
