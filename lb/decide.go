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
	// echoes says that the answer is what the state machine decided for the
	// write's number, whichever of its sendings it was.
	echoes bool
	// expired says that the answer is that the session is not known: this
	// sending was not executed, and nobody can say what became of others.
	expired bool
	// calledOff says that the balancer itself gave a read up before its time.
	calledOff bool
	// left says that a read did not get its answer over a connection that it shared,
	// for no fault of the backend's that is known.
	left bool
}

// uncertain says whether this sending of a write may have been executed without
// the client being told.
func (a attempt) uncertain() bool {
	if a.end == endAnswered {
		return a.mark == markUnknown && a.status >= fasthttp.StatusInternalServerError
	}
	return a.sent
}

// refuses says that this sending was not executed, for a reason that may pass.
func (a attempt) refuses() bool {
	return a.end == endAnswered && a.status == fasthttp.StatusServiceUnavailable && a.mark == markNotApplied
}

// situation is all that decide looks at.
type situation struct {
	class    class
	attempt  attempt
	whole    bool // the request can be sent again from its first byte
	others   bool // another backend could be tried at once; in doubt: one that keeps identities
	time     bool // there is time left to try
	waited   bool // it has waited for a backend before
	identity bool // the write carries a number
	doubt    bool // an earlier sending may have been executed
}

// inDoubt says whether the write may have been executed, by this sending or an
// earlier one, and nobody has said what became of it. Only what was decided
// under its number takes a doubt away: a refusal speaks of one sending.
func (s situation) inDoubt() bool {
	return s.class == classWrite && !s.attempt.echoes && (s.doubt || s.attempt.uncertain())
}

// stands says that the client gets this answer whatever else could be done: what
// that is need not be found out.
func (s situation) stands() bool {
	a := s.attempt
	return a.end == endAnswered && !a.expired && a.status != fasthttp.StatusServiceUnavailable && !s.inDoubt()
}

// replay waits for a leader that keeps identities, where that is allowed.
func (s situation) replay() verdict {
	if s.identity && s.whole && s.time {
		return verdictReplay
	}
	return verdictFail
}

// verdict is what follows an attempt.
type verdict uint8

const (
	verdictAnswer    verdict = iota // the client gets this answer
	verdictAgain                    // the same backend at once, on a new connection where one has failed
	verdictElsewhere                // another backend at once
	verdictHold                     // wait for a backend that can take it
	verdictReplay                   // the same, but only one that keeps identities
	verdictFail                     // the client gets an error of ours
)

// decide says what follows an attempt. The rule behind it: a read may be sent
// as often as it takes. A write may where it is certain that no sending so far
// executed it, which is where no byte left or the backend says so; and else only
// under its number, to a backend that executes each number once.
func decide(s situation) verdict {
	a := s.attempt
	switch {
	case a.end == endClientLeft:
		return verdictFail
	case a.end == endAnswered:
		return decideAnswer(s)
	case a.end == endFull && !s.others:
		return verdictFail
	case s.inDoubt():
		return s.replay()
	case a.sent && !s.whole:
		return verdictFail
	case !s.time:
		return verdictFail
	case a.reused && a.end == endBroken:
		return verdictAgain // most likely closed by the backend while it was idle
	case s.others:
		return verdictElsewhere
	case a.left:
		return verdictAgain
	case !a.sent:
		return verdictHold
	case a.end == endTimedOut:
		return verdictHold // a read, whose first attempts are short
	case a.end == endBroken && !s.waited:
		return verdictHold // backends that die one after the other; but a read that breaks them ends
	}
	return verdictFail
}

// decideAnswer looks at an answer: which ones are better replaced by another
// attempt's. A 503 that says nothing of the outcome of a write is the service's
// own business.
func decideAnswer(s situation) verdict {
	a := s.attempt
	switch {
	case a.expired:
		return decideExpired(s)
	case a.echoes: // it stands: the same would come again under the number
		return verdictAnswer
	case s.inDoubt():
		return decideDoubt(s)
	case a.status != fasthttp.StatusServiceUnavailable || !s.whole || !s.time:
		return verdictAnswer
	case s.class == classWrite && !a.refuses():
		return verdictAnswer
	case s.others:
		return verdictElsewhere
	case s.class == classWrite || a.unready:
		return verdictHold
	}
	return verdictAnswer
}

// decideDoubt looks at an answer that does not end the doubt. A refusal must not
// reach the client, who would take it for the whole truth.
func decideDoubt(s situation) verdict {
	a := s.attempt
	switch again := s.replay(); {
	case !a.refuses() && !a.uncertain():
		return verdictAnswer // with an unknown outcome
	case again == verdictReplay && a.refuses() && s.others:
		return verdictElsewhere // where the refusal points
	case again == verdictFail && a.uncertain():
		return verdictAnswer // it says so itself
	default:
		return again
	}
}

// decideExpired: the number was of a session that is over, and the next session
// knows nothing of earlier sendings. Only where there are none may the write move
// to it.
func decideExpired(s situation) verdict {
	if !s.doubt && s.whole && s.time {
		return verdictHold
	}
	return verdictFail
}
