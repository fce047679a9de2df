package sock

import (
	"errors"
	"os"
	"time"
)

// alarm is the deadline of one direction of a connection. To set one costs the
// runtime a timer, and a request sets several of which hardly any is ever reached.
// So one that is set already stands for every later one: when it passes before
// its time, it is set again for what is left. It is for one goroutine at a time.
type alarm struct {
	set   func(time.Time) error // of the connection
	want  time.Time             // as asked for; zero: never
	armed time.Time             // as set; zero: it was not yet
}

// at asks for a deadline, or for none where t is zero.
func (a *alarm) at(t time.Time) error {
	a.want = t
	if t.IsZero() || !a.armed.IsZero() && !t.Before(a.armed) {
		return nil
	}
	a.armed = t
	return a.set(t)
}

// early says whether err is of a deadline that passed before its time. It has been
// set again then.
func (a *alarm) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !a.want.IsZero() && !time.Now().Before(a.want) {
		return false
	}
	a.armed = a.want
	return a.set(a.want) == nil
}
