package lb

import (
	"bytes"

	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

// answer sends the client its answer, which is whole. It says whether the seat is still
// there, and goes on.
func (s *seat) answer(a *answer, body []byte) bool {
	w := s.w
	w.b.noteIndex(s.set, s.backend, s.class, a)
	s.backend.sideline.answered()
	s.last = w.b.draining.Load()
	w.out = a.appendTo(w.out[:0], body, s.last, s.riding, w.clock.Line(w.Now))
	s.finish(a.status, int64(len(body)))
	s.served++
	w.of.answered.Add(1)
	s.in = append(s.in[:0], s.in[s.size:]...)
	return s.put(w.out)
}

// goOn looks at what is behind the request that was answered, once the client has all of
// the answer: until then no other is under way, and the seat is not left.
func (s *seat) goOn() {
	if len(s.rest) > 0 || len(s.in) > 0 && !s.take(s.in) {
		return
	}
	if len(s.in) == 0 && cap(s.in) > keepRoom {
		s.in = nil
	}
	s.read()
}

// put sends what the socket has room for, and keeps the rest. It says whether the seat is
// still there.
func (s *seat) put(out []byte) bool {
	n, err := sock.Send(uintptr(s.fd), out)
	switch {
	case err != nil && err != unix.EAGAIN:
		s.close()
		return false
	case n < len(out):
		s.rest = append(s.rest[:0], out[n:]...)
		s.since = s.w.Now
		s.w.Soon()
		return true
	}
	s.rest, s.since = nil, s.w.Now
	if s.last {
		s.close()
	}
	return !s.last
}

// finish counts the request that is under way out.
func (s *seat) finish(status int, bytes int64) {
	r := record{class: s.class, status: status, bytes: bytes, start: s.since, attempts: 1, backend: s.backend}
	if log := s.set.access; log != nil && log.picks(status) {
		s.describe(&r, log)
	}
	s.release()
	s.w.b.finish(r)
}

// describe fills in what an access log says of the request.
func (s *seat) describe(r *record, log *accessLog) {
	method, rest, _ := bytes.Cut(s.in, []byte(" "))
	target, _, _ := bytes.Cut(rest, []byte(" "))
	path, _, _ := bytes.Cut(target, []byte("?"))
	r.access, r.client, r.method, r.path = log, s.guest.addr, string(method), string(path)
}

// release parts the seat from its link, which has let go of it, or from its ride.
func (s *seat) release() {
	if s.riding {
		s.ride.drop()
	}
	s.link, s.riding = nil, false
	s.backend.busy.Add(-1)
}

// handOver makes the request that is under way the server's.
func (s *seat) handOver(h handed) {
	h.set, h.class, h.be, h.start, h.reign, h.answers = s.set, s.class, s.backend, s.since, s.reign, s.answers
	s.riding = false // the number goes with it
	s.release()
	s.w.b.inFlight.Add(-1) // the server counts it again
	s.leave(&h)
}

// leave gives the guest back to the server.
func (s *seat) leave(h *handed) {
	s.w.of.returned.Add(1)
	s.w.Remove(s.fd)
	s.w.b.front.readmit(s.guest, s.fd, s.in, h)
	delete(s.w.guests, s.guest)
	s.fd = -1
}

// close ends the connection. The answer that is under way is nobody's.
func (s *seat) close() {
	if s.fd < 0 {
		return // it was left, or closed before a bug
	}
	if s.link != nil {
		s.link.forget(s)
	}
	if s.away() && !s.aboard() { // a ride goes on alone
		s.finish(statusClientLeft, 0)
	}
	s.w.Remove(s.fd)
	_ = unix.Close(s.fd)
	delete(s.w.guests, s.guest)
	s.w.b.front.leave(s.guest)
	s.fd = -1
}

// Tick implements loop.Member.
func (s *seat) Tick() {
	limits, waited := &s.w.b.set.Load().cfg.Limits, s.w.Now.Sub(s.since)
	switch {
	case s.link != nil:
		if s.w.Soon(); waited >= s.late || waited >= lookEvery && s.class == classRead && s.w.b.registry.view.Load().deserted(s.backend) {
			s.link.handOver(s.link.in)
		}
	case s.riding: // its bundle looks after it
	case len(s.rest) > 0:
		if s.w.Soon(); waited >= limits.WriteTimeout {
			s.close()
		}
	case len(s.in) > 0:
		if s.w.Soon(); waited >= lateAnswer {
			s.guest.stay.SentBack(s.served)
			s.leave(nil)
		}
	case waited >= limits.IdleTimeout:
		s.close()
	}
}

// Panicked implements loop.Member.
func (s *seat) Panicked() { s.close() }
