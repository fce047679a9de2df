package lb

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/valyala/fasthttp"
)

// next gives the next answer to the read that has waited longest. At errNotPlain
// and at a deadline none of it was taken off the connection.
func (l *lane) next() error {
	waits := l.u.r.Buffered() == 0
	block, err := peekHead(l.u.r)
	if err != nil {
		return err
	}
	r := l.oldest()
	if r == nil {
		return errUnasked
	}
	r.block = append(r.block[:0], block...)
	if err := r.ans.parse(r.block, false); err != nil {
		return err
	}
	if !plain(r.ans) {
		return errNotPlain
	}
	if _, err := l.u.r.Discard(len(block)); err != nil {
		return err
	}
	if err := l.body(r); err != nil {
		return err
	}
	return l.give(r, waits)
}

// plain says whether an answer may be one of several on a connection: it is whole
// and short, others may follow, and its length does not rest on what was asked.
// A 503 may be a node's, and is looked into where there is time.
func plain(a *answer) bool {
	switch a.status {
	case fasthttp.StatusNoContent, fasthttp.StatusNotModified, fasthttp.StatusServiceUnavailable:
		return false
	}
	return a.status >= fasthttp.StatusOK && a.keep && a.length >= 0 && a.length <= copyAnswer
}

// body reads a body whole. One that does not come in time ends the lane.
func (l *lane) body(r *ride) error {
	r.block = slices.Grow(r.block, r.ans.length)
	for left := r.ans.length; left > 0; {
		if _, err := l.u.r.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			now := time.Now()
			if l.of.isLate(r, now) {
				return errLaneLeft
			}
			if err := l.u.SetReadDeadline(now.Add(laneTick)); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		piece, err := l.u.r.Peek(min(left, l.u.r.Buffered()))
		if err != nil {
			return err
		}
		r.block = append(r.block, piece...)
		left -= len(piece)
		if _, err := l.u.r.Discard(len(piece)); err != nil {
			return err
		}
	}
	return nil
}

// oldest is the read that the next answer is for; nil: nothing was asked.
func (l *lane) oldest() *ride {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.sent == 0 {
		return nil
	}
	return l.queue[0]
}

// give ends the oldest read's ride with its answer. waited says that the lane had
// to wait for it. What follows it, where nothing else was sent, must be nobody's
// answer: the lane ends before anyone can join it.
func (l *lane) give(r *ride, waited bool) (err error) {
	s := l.of
	var now time.Time
	if waited {
		now = time.Now()
	}
	s.mu.Lock()
	l.queue = slices.Delete(l.queue, 0, 1)
	l.sent--
	l.served++
	switch {
	case !waited:
		s.learnGap(0)
	case r.since.Before(l.answered):
		s.learnGap(now.Sub(l.answered))
	}
	if waited {
		s.learnUsual(now.Sub(r.since))
		l.answered = now
	}
	if l.sent == 0 && l.u.r.Buffered() > 0 {
		s.remove(l)
		err = errUnasked
	}
	s.mu.Unlock()
	s.rides.Add(1)
	r.done <- rideEnd{}
	return err
}
