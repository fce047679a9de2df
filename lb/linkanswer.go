package lb

import (
	"bytes"
	"errors"
	"os"
	"slices"

	"github.com/valyala/fasthttp"
)

// take looks at all that has come, and says whether nothing more is waited for. Those
// who were answered go on only then: their next requests may need the room that it is in.
func (l *link) take(came []byte) (done bool) {
	l.w.answered = l.w.answered[:0] // there are some after a bug
	done = l.answer(came)
	for _, s := range l.w.answered {
		s.goOn()
	}
	clear(l.w.answered)
	l.w.answered = l.w.answered[:0]
	return done
}

// answer gives the answers that have come whole to who waits for them.
func (l *link) answer(came []byte) (done bool) {
	a := &l.w.ans
	for len(came) > 0 {
		if l.asked == 0 {
			l.fail(errLinkLeft) // what came was not asked for
			return true
		}
		i := bytes.Index(came, []byte("\r\n\r\n"))
		switch {
		case i < 0 && len(came) < l.u.r.Size():
			return l.keep(came)
		case i < 0 || a.parse(came[:i+len("\r\n\r\n")], false) != nil || !settles(a) || l.shared && !follows(a):
			l.handOver(came)
			return true
		case len(came) < a.size+a.length:
			return l.keep(came)
		}
		s, body := l.queue[0], came[a.size:a.size+a.length]
		came = came[a.size+a.length:]
		l.queue, l.asked = slices.Delete(l.queue, 0, 1), l.asked-1
		if l.shared {
			l.be.sharedReads.Add(1)
		}
		switch {
		case l.asked > 0:
		case l.ended || !a.keep || l.stuck:
			l.fail(errLinkLeft)
			came = nil
		case len(l.queue) == 0:
			l.shelve()
		}
		if s != nil && s.answer(a, body) {
			l.w.answered = append(l.w.answered, s)
		}
	}
	l.in = l.in[:0]
	return len(l.queue) == 0
}

// keep keeps what came where the next bytes do not overwrite it.
func (l *link) keep(came []byte) (done bool) {
	if len(l.in) > 0 && &l.in[0] == &came[0] {
		return false // there it is
	}
	if n := len(l.w.rooms); cap(l.in) < len(came) && n > 0 {
		l.in, l.w.rooms = l.w.rooms[n-1], l.w.rooms[:n-1]
	}
	l.in = append(l.in[:0], came...)
	return false
}

// settles says whether an answer is passed on as it is, whole: what judge and learn would
// have questions about is the server's, and so is what streams.
func settles(a *answer) bool {
	return a.status >= fasthttp.StatusOK && a.status != fasthttp.StatusServiceUnavailable &&
		(a.status < fasthttp.StatusInternalServerError || a.mark == markNone) && a.length >= 0 && a.length <= copyAnswer
}

// follows says whether an answer may be one of several on a connection: others may come
// behind it, and its length does not rest on what was asked.
func follows(a *answer) bool {
	return a.keep && a.status != fasthttp.StatusNoContent && a.status != fasthttp.StatusNotModified
}

// handOver gives the connection to the server with the oldest request on it, and with
// what came of the answer. Those behind it are asked again; they go apart for a while, so
// that many such answers cost little.
func (l *link) handOver(came []byte) {
	if len(l.queue) == 0 {
		l.drop()
		return
	}
	oldest, behind, asked := l.queue[0], l.queue[1:], l.asked
	if len(behind) > 0 {
		l.w.stock[l.be].apart = l.w.Now.Add(sharedPause)
	}
	l.queue = nil
	switch {
	case oldest == nil:
		l.drop()
	case l.stuck: // the server has no way to go on with that
		l.drop()
		oldest.lose(os.ErrDeadlineExceeded)
	default:
		oldest.guest.stay.SentBack(oldest.served)
		oldest.handOver(handed{u: l.u, fd: l.part(), in: bytes.Clone(came), behind: asked > 1})
	}
	for _, s := range behind {
		s.lose(errLinkLeft)
	}
}

// lose gives the server a request that has lost its link.
func (s *seat) lose(err error) {
	if s == nil {
		return
	}
	if errors.Is(err, errLinkLeft) {
		s.backend.sharedLeft.Add(1)
	}
	s.handOver(handed{err: err})
}
