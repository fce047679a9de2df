package lb

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

const (
	// laneTick is how often a lane looks whether its oldest read waits too long.
	laneTick = 5 * time.Millisecond
	// laneIdle is after how many ticks without an answer a lane nobody uses ends.
	laneIdle = 20
	// laneProven is how many answers a lane must have given for its end to be
	// taken for the backend's habit, such as to close connections now and then.
	laneProven = 256
)

var (
	// errLaneLeft says that a read left its lane without an answer, for no fault of
	// the backend's that is known.
	errLaneLeft = errors.New("the connection that several reads shared serves them no more")
	// errNotPlain ends a lane at an answer that it leaves to the read it is for.
	errNotPlain = errors.New("the answer needs the connection for itself")
	// errUnasked says that a backend sent more than it was asked for.
	errUnasked = fmt.Errorf("%w: it was not asked for", errBadAnswer)
)

// lane is a connection to a backend over which several reads are under way at
// once, each sent without waiting for the answer before it (RFC 9112, section
// 9.3.2); answers come in the order of the requests. A lane takes only answers that
// are plain. At any other, and where the oldest read waits for too long, it ends:
// that read goes on alone with the connection, which serves nobody after it, and
// those behind it are sent again.
type lane struct {
	of *lanes
	u  *upstream

	// What follows is guarded by the lock of lanes.
	out      []byte // requests to be written next
	spare    []byte // room for the next out
	flushing bool   // somebody is about to write out, or does
	ended    bool
	queue    []*ride // sent or to be sent, oldest first
	sent     int     // how many of queue are written, or being written
	served   uint64

	// These belong to run.
	answered time.Time // when the last answer came that it had to wait for
	seen     uint64    // served at the last tick
	overdue  uint64    // the answer, counted from 1, that was late at a tick
	idle     int       // ticks since it served
}

// add puts a request on the lane, and says whether it is the caller who must flush;
// the lock is held.
func (l *lane) add(r *ride, head []byte) (flush bool) {
	l.queue = append(l.queue, r)
	l.out = append(l.out, head...)
	flush = !l.flushing
	l.flushing = true
	return flush
}

// flush writes what is to be sent. Those who are ready to run come first, since
// they may have more for the same write.
func (l *lane) flush() {
	runtime.Gosched()
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	for len(l.out) > 0 && !l.ended {
		out := l.out
		l.out, l.spare = l.spare[:0], nil
		l.sent = len(l.queue)
		l.of.mu.Unlock()
		err := l.u.SetWriteDeadline(time.Now().Add(laneLate))
		if err == nil {
			_, err = l.u.patient.Write(out)
		}
		l.of.mu.Lock()
		l.spare = out
		if err != nil {
			_ = l.u.Close() // run tells everyone
			break
		}
	}
	l.flushing = false
}

// run reads answers until the lane ends.
func (l *lane) run() {
	if err := l.u.SetReadDeadline(time.Now().Add(laneTick)); err != nil {
		l.broken(err)
		return
	}
	for {
		switch err := l.next(); {
		case err == nil:
		case errors.Is(err, errNotPlain):
			l.handOver()
			return
		case !errors.Is(err, os.ErrDeadlineExceeded):
			l.broken(err)
			return
		case !l.tick(time.Now()):
			return
		}
	}
}

// tick looks after the lane when nothing has come for a while. It says whether the
// lane goes on.
func (l *lane) tick(now time.Time) bool {
	s := l.of
	s.mu.Lock()
	// What was not sent yet waits for this machine, not for the backend.
	late := l.sent > 0 && now.Sub(l.queue[0].since) > s.late()
	if late && l.overdue != l.served+1 {
		l.overdue, late = l.served+1, false // the answer may be there: its deadline passed first
	}
	if l.served != l.seen || len(l.queue) > 0 {
		l.seen, l.idle = l.served, 0
	} else {
		l.idle++
	}
	retires := l.idle >= laneIdle && !l.flushing
	if retires {
		s.remove(l)
	}
	s.mu.Unlock()
	switch {
	case late:
		l.handOver()
		return false
	case retires:
		s.pool.put(l.u)
		return false
	}
	if err := l.u.SetReadDeadline(now.Add(laneTick)); err != nil {
		l.broken(err)
		return false
	}
	return true
}
