package lb

import (
	"bytes"
	"cmp"
	"time"

	"github.com/dengine/dengine/internal/edge/poll"
	"github.com/dengine/dengine/internal/edge/sock"
	"golang.org/x/sys/unix"
)

const (
	// lateAnswer is after how long a worker gives up a request whose answer has not come,
	// or of which not all has come: long enough for a machine that is short of processors.
	// What takes longer costs a goroutine, and has its timeouts there.
	lateAnswer = 400 * time.Millisecond
	// keepRoom is the most memory that a seat or a link keeps when nothing is in it.
	keepRoom = 16 << 10
	// worthMoving is how many requests make the way here and back worth it.
	worthMoving = 4
	// roomsMost is how much more than that a worker keeps for others to use.
	roomsMost = 64
)

// late is lateAnswer, or as much sooner as the server looks after such a request.
func late(cfg *Config, c class) time.Duration {
	usual := cmp.Or(cfg.lateAnswer, lateAnswer)
	if c == classWrite {
		return min(usual, cfg.UpstreamTimeout)
	}
	return min(usual, cfg.UpstreamTimeout, cfg.ReadTimeout, cfg.ReadAttemptTimeout)
}

// seat is a guest's connection while a worker has it.
type seat struct {
	w      *worker
	guest  *guest
	fd     int
	in     []byte    // what has come and is not answered: a request, and what is behind it
	rest   []byte    // of an answer, for which the socket had no room
	more   bool      // something may be there to be read
	ended  bool      // the client sends no more
	last   bool      // the connection ends behind the answer
	since  time.Time // when what it waits for began: an answer, the rest of something, or the next request
	served uint64    // requests

	// Of the request that is under way.
	link    *link // where its answer will come
	ride    *ride // or what brings it
	riding  bool
	size    int // in bytes, of in
	set     *settings
	class   class
	backend *backend
	reign   uint64
	answers uint64
	late    time.Duration // after since
}

// seat takes a guest over.
func (w *worker) seat(g *guest, fd int) {
	s := &seat{w: w, guest: g, fd: fd, since: w.Now}
	if w.b.draining.Load() || w.stopped || w.Add(fd, s) != nil {
		_ = unix.Close(fd)
		w.b.front.leave(g)
		return
	}
	w.guests[g] = s
}

// busy says whether it carries a request, or a part of one, or the rest of an answer.
func (s *seat) busy() bool { return s.away() || len(s.in) > 0 || len(s.rest) > 0 }

// away says whether a request is.
func (s *seat) away() bool { return s.link != nil || s.riding }

// Ready implements loop.Member.
func (s *seat) Ready(what uint32) {
	switch {
	case what&poll.Broken != 0:
		s.close()
		return
	case what&(poll.Readable|poll.Ended) != 0:
		s.more, s.ended = true, s.ended || what&poll.Ended != 0
	}
	switch {
	case len(s.rest) == 0:
		s.read()
	case what&poll.Writable != 0 && s.put(s.rest):
		s.goOn()
	}
}

// read takes what is there, unless a request is under way.
func (s *seat) read() {
	for s.more && !s.away() && len(s.rest) == 0 {
		n, err := sock.Receive(uintptr(s.fd), s.w.in)
		switch {
		case err == unix.EAGAIN:
			s.more = false
			return
		case err != nil:
			s.close() // nobody is left to be answered
			return
		}
		s.more = n == len(s.w.in) || s.ended // see poll.Event
		came := s.w.in[:n]
		if len(s.in) > 0 {
			s.in = append(s.in, came...)
			came = s.in
		}
		if !s.take(came) {
			return
		}
	}
}

// take has the request that came begins with sent on, or waits for more of it. It says
// whether the seat is still there.
func (s *seat) take(came []byte) bool {
	w := s.w
	w.req.ip = s.guest.ip
	switch w.req.parse(came) {
	case plainPartial:
		if len(s.in) == 0 {
			s.since = w.Now
		}
		s.keep(came)
		w.Soon()
		return true
	case plainWhole:
		s.keep(came)
		if s.begin() {
			return true
		}
	case plainNot:
		s.keep(came)
		s.guest.stay.SentBack(s.served)
	}
	s.leave(nil)
	return false
}

// keep keeps what came where the next bytes do not overwrite it.
func (s *seat) keep(came []byte) {
	if len(s.in) == 0 || &s.in[0] != &came[0] {
		s.in = append(s.in[:0], came...)
	}
}

// begin sends the request that w.req is to a backend, and says whether that could be.
func (s *seat) begin() bool {
	w := s.w
	b, req := w.b, &w.req
	set, v := b.set.Load(), b.registry.view.Load()
	if cfg := &set.cfg; len(req.body) > min(cfg.BufferBody, cfg.Limits.BodyBytes) || req.size-len(req.body) > cfg.Limits.HeaderBytes ||
		req.forwards && cfg.TrustForwarded {
		return false
	}
	class := set.routes.classify(req.method, req.target, v.dengine)
	if !suits(set, v, class) {
		s.comesFor(worthMoving)
		return false
	}
	w.hw.reset()
	if class == classRead && set.cfg.ReadYourWrites {
		if req.minIndex {
			return false
		}
		w.hw.require(b.registry.written.index.Load())
	}
	be, turns := v.leader(), class == classRead || set.cfg.WritePolicy == WriteAny
	if turns {
		be = v.reader(b.turn.Add(1), w.hw.minIndex, nil)
	}
	if be == nil {
		return false
	}
	if set.numbers(v, be, class) {
		if !s.board(set, be, v.reign) {
			s.comesFor(worthMoving)
			return false
		}
	} else {
		w.out = w.hw.write(w.out[:0], &req.requestHead, req.length(), set.cfg.TrustForwarded)
		w.out = append(w.out, req.body...)
		if s.link = w.send(s, be, w.out, class == classRead && shares(&set.cfg, v, req)); s.link == nil {
			if turns {
				b.turn.Add(^uint64(0)) // it is the same one's turn at the server
			}
			s.guest.stay.SentBack(s.served) // who opens one, and may do so for the next request as well
			return false
		}
	}
	b.inFlight.Add(1)
	be.requests.Add(1)
	be.busy.Add(1)
	s.size, s.since = req.size, w.Now
	w.Soon()
	s.set, s.class, s.backend, s.reign, s.late = set, class, be, v.reign, late(&set.cfg, class)
	if class == classRead {
		s.answers = be.sideline.visit()
	}
	return true
}

// shares says whether a read may go with others: a node is asked for one key, and does not
// wait for a log index that a client asks for.
func shares(cfg *Config, v *View, req *plainRequest) bool {
	if cfg.ShareReads != ShareNodes || req.conditional || req.minIndex || req.body != nil {
		return false
	}
	return v.dengine && bytes.HasPrefix(req.target, []byte("/kv/")) || cfg.shareHard
}

// comesFor has the server serve a guest that goes away after fewer requests for longer.
func (s *seat) comesFor(requests uint64) {
	if s.served < requests {
		s.guest.stay.SentBack(s.served)
	}
}

// numbers says whether requests of a class go under a number.
func (s *settings) numbers(v *View, be *backend, c class) bool {
	return c == classWrite && s.cfg.WritePolicy == WriteLeader && s.cfg.Identities && v.keeps(be)
}

// suits says whether workers take requests of a class. Numbered writes they send in
// bundles.
func suits(set *settings, v *View, c class) bool {
	cfg := &set.cfg
	switch {
	case c == classRead, cfg.WritePolicy == WriteAny:
		return true
	}
	be := v.leader()
	return be != nil && !v.young && (cfg.ShareReads != ShareNever || !set.numbers(v, be, c))
}

// plain says whether a worker could have answered a request that the server has: then it
// gets the connection.
func (b *Balancer) plain(x *exchange) bool {
	return x.backend != nil && x.attempts == 1 && x.holds == 0 && !x.streams && !x.left && x.stream == nil && x.hw.upgrade == nil &&
		!b.draining.Load() && suits(x.set, b.registry.view.Load(), x.class)
}
