package edge

// Length says how long the request is that in begins with, in bytes, which may be more than in
// has; 0: it is unknown, and is not going to be known unless in is a part of one.
type Length func(in []byte) (size int, part bool)

// requestEnd tells the bytes of a request from those behind it.
type requestEnd struct {
	length Length // nil: it is not looked for
	state  endState
	part   []byte // what came so far, while it is looked for
	left   int    // bytes to come, once it is known
}

type endState uint8

const (
	endUnknown endState = iota // all that comes is taken for the request's
	endLookedFor
	endKnown
)

// begin says that the next byte is a request's first.
func (e *requestEnd) begin() {
	if e.state, e.part = endUnknown, nil; e.length != nil {
		e.state = endLookedFor
	}
}

// behind is how many of the bytes that came are behind the request.
func (e *requestEnd) behind(came []byte) int {
	if e.state == endLookedFor && len(came) > 0 {
		e.look(came)
	}
	if e.state != endKnown {
		return 0
	}
	n := min(e.left, len(came))
	if e.left -= n; e.left == 0 {
		e.state = endUnknown // what is read before another begins is the reader's
	}
	return len(came) - n
}

func (e *requestEnd) look(came []byte) {
	in := came
	if len(e.part) > 0 {
		e.part = append(e.part, came...)
		in = e.part
	}
	size, part := e.length(in)
	before := len(in) - len(came)
	switch {
	case size > before:
		e.state, e.left, e.part = endKnown, size-before, nil
	case size == 0 && part && len(in) < partMost:
		if before == 0 {
			e.part = append(e.part, came...)
		}
	default:
		e.state, e.part = endUnknown, nil
	}
}
