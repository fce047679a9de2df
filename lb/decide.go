package lb

import "github.com/valyala/fasthttp"

// class is what a request may do to the service.
type class uint8

const (
	classRead  class = iota // changes nothing: may go anywhere, may be repeated
	classWrite              // may change something: must not be executed twice
)

func (c class) String() string {
	if c == classRead {
		return "read"
	}
	return "write"
}

// mark is what a backend's Dengine-Outcome header says of a write.
type mark uint8

const (
	markNone       mark = iota // no such header
	markNotApplied             // it has not been executed and will not be
	markUnknown                // it may have been executed
)

// ending is how one attempt ended.
type ending uint8

const (
	endAnswered    ending = iota // the head of an answer came
	endUnreachable               // no connection could be had
	endBroken                    // the connection broke, or what came was not HTTP
	endTimedOut                  // nothing came in time
	endClientLeft                // the client's own body did not come to its end
	endFull                      // the backend has all the exchanges of this kind that it may have
)

// attempt is what became of one sending of a request to one backend.
type attempt struct {
	end    ending
	sent   bool // a byte of the request may have left
	reused bool // over a connection that had served before
	status int  // of the answer, where there is one
	mark   mark
	// unready says that the answer is a dengine node's 503 for the moment: it
	// knows no leader yet, is starting or is shutting down.
	unready bool
}

// situation is all that decide looks at.
type situation struct {
	class   class
	attempt attempt
	whole   bool // the request can be sent again from its first byte
	others  bool // another backend could be tried at once
	time    bool // there is time left to try
}

// verdict is what follows an attempt.
type verdict uint8

const (
	verdictAnswer    verdict = iota // the client gets this answer
	verdictAgain                    // the same backend at once, on a new connection
	verdictElsewhere                // another backend at once
	verdictHold                     // wait for a backend that can take it
	verdictFail                     // the client gets an error of ours
)

// decide says what follows an attempt. The rule behind it: a read may be sent
// as often as it takes, a write only where it is certain that the attempt did
// not execute it, which is where no byte left or the backend says so.
func decide(s situation) verdict {
	a := s.attempt
	switch {
	case a.end == endClientLeft:
		return verdictFail
	case a.end == endAnswered:
		return decideAnswer(s)
	case a.end == endFull && !s.others:
		return verdictFail
	case a.sent && (s.class == classWrite || !s.whole):
		return verdictFail
	case !s.time:
		return verdictFail
	case a.reused && a.end == endBroken:
		return verdictAgain // most likely closed by the backend while it was idle
	case s.others:
		return verdictElsewhere
	case !a.sent:
		return verdictHold
	}
	return verdictFail
}

// decideAnswer looks at an answer: which ones are better replaced by another
// attempt's. A 503 that says nothing of the outcome of a write is the service's
// own business.
func decideAnswer(s situation) verdict {
	a := s.attempt
	if a.status != fasthttp.StatusServiceUnavailable || !s.whole || !s.time {
		return verdictAnswer
	}
	if s.class == classWrite && a.mark != markNotApplied {
		return verdictAnswer
	}
	switch {
	case s.others:
		return verdictElsewhere
	case s.class == classWrite || a.unready:
		return verdictHold
	}
	return verdictAnswer
}
