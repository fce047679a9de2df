package healthcheck

// threshold turns the outcomes of checks into up or down, with the rise and
// fall counts that HAProxy made the field's own. It decides; it does no I/O.
type threshold struct {
	rise, fall int
	known      bool // a first outcome has been seen
	up         bool
	run        int // outcomes in a row that speak against the current state
}

// feed takes one outcome and returns whether the backend is up. A hard failure
// (refused, reset) takes it down whatever fall says.
func (t *threshold) feed(ok, hard bool) bool {
	switch {
	case !t.known:
		t.known, t.up, t.run = true, ok, 0
	case ok == t.up:
		t.run = 0
	case !ok && hard:
		t.up, t.run = false, 0
	default:
		t.run++
		need := t.rise
		if t.up {
			need = t.fall
		}
		if t.run >= need {
			t.up, t.run = ok, 0
		}
	}
	return t.up
}
