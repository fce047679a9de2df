package lb

import (
	"slices"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/edge/loop"
	"github.com/valyala/fasthttp"
)

// board sends the numbered write that w.req is to the leader in a bundle, and says
// whether that could be: all that would have to be waited for is the server's, such as a
// number or the bundle.
func (s *seat) board(set *settings, be *backend, reign uint64) bool {
	w := s.w
	b := w.b
	if set.routes.multi.is(w.req.method, w.req.target) {
		return false
	}
	t, ok := b.sessions.tryTake(w.turn)
	if !ok {
		return false
	}
	w.out = w.hw.write(w.out[:0], &w.req.requestHead, w.req.length(), set.cfg.TrustForwarded)
	w.out = t.appendLines(w.out[:len(w.out)-len("\r\n")])
	w.out = append(append(w.out, '\r', '\n'), w.req.body...)
	r := s.ride
	if r == nil {
		r = &ride{worker: w}
	}
	r.since, r.by, r.ticket = w.Now, w.Now.Add(set.cfg.firstSending()), t
	if len(w.out) > edge.MaxMessage {
		r.drop()
		return false
	}
	bu, at, err := be.bundles.join(r, claim{b.registry, be, reign})
	if err != nil || bu == nil {
		r.drop()
		return false
	}
	r.of, r.seat, r.over = bu, s, false
	s.ride, s.riding = r, true
	w.aboard++
	bu.outbox.Leave(at, w.out)
	if !slices.Contains(w.loaded, bu) {
		w.loaded = append(w.loaded, bu)
	}
	return true
}

// aboard says whether a ride of its is under way.
func (s *seat) aboard() bool { return s.riding && !s.ride.over }

// arrive has a seat look at what became of its write.
func (w *worker) arrive(r *ride) {
	w.aboard--
	r.over = true
	w.Guard(r.seat, arrived)
}

func arrived(m loop.Member) {
	s := m.(*seat) //nolint:forcetypeassert // who rides is on a seat
	r, a := s.ride, &s.w.ans
	if s.fd < 0 {
		s.finish(statusClientLeft, 0)
		return
	}
	if r.err != nil || a.readWhole(r.block, r.ticket.number) != nil || !a.decided(r.ticket.number) {
		s.handOver(handed{err: r.err, ride: r})
		return
	}
	there := s.answer(a, r.block[a.size:])
	if cap(r.block) > keepRoom {
		r.block = nil
	}
	if there {
		s.goOn()
	}
}

// decided says whether an answer to a numbered write is passed on as it is: all that
// judge and learn would have questions about is the server's.
func (a *answer) decided(number uint64) bool {
	switch {
	case a.status == fasthttp.StatusServiceUnavailable, a.status == fasthttp.StatusConflict && a.mark == markUnknown:
		return false
	}
	return a.sequence == number || a.mark != markUnknown || a.status < fasthttp.StatusInternalServerError
}
