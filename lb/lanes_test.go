package lb

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestLanesAreAsDeepAsItPays(t *testing.T) {
	t.Parallel()
	s := newLanes(nil, nil, false)
	if d := s.depth(); d < 2 || d >= laneDepth {
		t.Errorf("a depth of %d while nothing is known", d)
	}
	for range 200 {
		s.learnGap(0)
	}
	if d := s.depth(); d != laneDepth {
		t.Errorf("a depth of %d where answers come together", d)
	}
	s.learnGap(time.Second)
	if !s.until.IsZero() {
		t.Error("one long pause was enough")
	}
	for i := range 300 {
		s.learnGap(time.Duration(i%3/2) * 2 * time.Millisecond) // as on a machine that is short of processors
	}
	if d := s.depth(); d != laneDepth || !s.until.IsZero() {
		t.Errorf("a depth of %d where most answers come together", d)
	}
	rests := func() (n int) {
		for before := s.until; s.until.Equal(before); n++ {
			s.learnGap(2 * time.Millisecond)
			if n == 1000 {
				t.Fatal("a backend that works for each answer in turn gets lanes")
			}
		}
		return n
	}
	if n := rests(); n > 64 {
		t.Errorf("it took %d answers", n)
	}
	now := time.Now()
	if first := s.until.Sub(now); first > lanePauseLeast || s.pause != 2*lanePauseLeast {
		t.Errorf("the first pause is %v, the next %v", first, s.pause)
	}
	if l, _ := s.join(&ride{since: now}, nil); l != nil {
		t.Error("a read joined during the pause")
	}
	if d := s.depth(); d < 2 {
		t.Errorf("a depth of %d for the next time", d)
	}
}

// A lane that ran late itself looks for the answer once more before it leaves.
func TestLaneLooksOnceMoreBeforeItIsLate(t *testing.T) {
	t.Parallel()
	s, l, _ := oneLane(t)
	now := time.Now()
	late := &ride{done: make(chan rideEnd, 1), since: now.Add(-time.Hour)}
	if _, flush := s.join(late, nil); !flush {
		t.Fatal("nobody was to write")
	}
	l.sent = 1
	if !l.tick(now) {
		t.Fatal("it left without a look")
	}
	l.served++ // the answer was there, and the next one is late as well
	if !l.tick(now) {
		t.Fatal("one look was for two answers")
	}
	if l.tick(now) {
		t.Fatal("it looks for ever")
	}
	if end := <-late.done; end.alone != l.u {
		t.Errorf("the read got %+v", end)
	}
}

func TestLateIsByWhatIsUsual(t *testing.T) {
	t.Parallel()
	s := newLanes(nil, nil, false)
	for _, c := range []struct{ usual, late time.Duration }{
		{0, laneLate}, {time.Millisecond, laneLate}, {5 * time.Millisecond, 20 * time.Millisecond}, {time.Second, laneLateMost},
	} {
		s.usual = c.usual
		if got := s.late(); got != c.late {
			t.Errorf("usually %v: late after %v, want %v", c.usual, got, c.late)
		}
	}
}

// Only answers that are whole, short and follow each other without doubt are taken.
func TestPlainAnswers(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n":                                  true,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n":        true,
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n":                                  false,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n":             false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                         false,
		"HTTP/1.1 200 OK\r\n\r\n":                                                       false,
		"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n":                              false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":                          false,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                        false,
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n":                 false,
		"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n":                            false,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n": false,
	} {
		var a answer
		if err := a.parse([]byte(head), false); err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if got := plain(&a); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}

// oneLane returns lanes with one that is open, and the backend's side of it.
func oneLane(t *testing.T) (*lanes, *lane, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	s := newLanes(newPool("", poolLimits{}), nil, false)
	l := &lane{of: s, u: newUpstream(ours, 4096)}
	s.open = []*lane{l}
	return s, l, theirs
}

// Nobody can join a lane on which more has come than was asked for.
func TestLaneEndsBeforeAnyoneTakesWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	s, l, theirs := oneLane(t)
	one := &ride{done: make(chan rideEnd, 1), since: time.Now(), ans: new(answer)}
	if _, flush := s.join(one, []byte("GET /")); !flush {
		t.Fatal("nobody was to write")
	}
	l.sent = 1
	const plain = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
	go func() { _, _ = theirs.Write([]byte(plain + "a" + plain + "b")) }()
	if err := l.next(); !errors.Is(err, errUnasked) {
		t.Errorf("got %v", err)
	}
	if end := <-one.done; end != (rideEnd{}) || one.block[len(one.block)-1] != 'a' {
		t.Errorf("the read got %+v, %q", end, one.block)
	}
	if other, _ := s.join(&ride{since: time.Now()}, nil); other != nil {
		t.Error("another read joined")
	}
}

// An answer that comes while a read is still to be sent is not that read's.
func TestLaneTakesNoAnswerBeforeItAsked(t *testing.T) {
	t.Parallel()
	s, l, theirs := oneLane(t)
	if _, flush := s.join(&ride{done: make(chan rideEnd, 1), since: time.Now(), ans: new(answer)}, []byte("GET /")); !flush {
		t.Fatal("nobody was to write")
	}
	go func() { _, _ = theirs.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")) }()
	if err := l.next(); !errors.Is(err, errUnasked) {
		t.Errorf("got %v", err)
	}
}

// A read that nobody has had the time to send is not late: it is not sent elsewhere.
func TestReadThatWasNotSentIsNotLate(t *testing.T) {
	t.Parallel()
	s, l, _ := oneLane(t)
	r := &ride{done: make(chan rideEnd, 1), since: time.Now().Add(-time.Hour), ans: new(answer)}
	s.join(r, []byte("GET /"))
	if !l.tick(time.Now()) || l.ended {
		t.Error("the lane ended")
	}
	l.sent = 1
	if now := time.Now(); l.tick(now) && l.tick(now) {
		t.Fatal("the lane goes on")
	}
	if end := <-r.done; end.alone != l.u || end.behind {
		t.Errorf("the oldest got %+v", end)
	}
}
