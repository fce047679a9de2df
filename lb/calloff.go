package lb

import (
	"errors"
	"os"
	"time"
)

// errCalledOff ends an attempt of a read before its time.
var errCalledOff = errors.New("the backend cannot serve reads any more, and others can")

// movable says whether a read may leave a backend that it waits for.
func (x *exchange) movable() bool {
	return x.class == classRead && x.stream == nil && x.hw.upgrade == nil
}

// awaitHead reads the head of a movable read's answer, until by. Now and then it
// looks whether its backend is still one for reads. A dengine node that has lost
// its leader holds reads until it knows another, and one that is cut off holds
// them in vain, while others could serve them. Any other service may finish what
// it began.
func (x *exchange) awaitHead(g *registry, u *upstream, by time.Time) error {
	for {
		until := by
		if g.view.Load().dengine {
			until = earlier(by, time.Now().Add(lookEvery))
		}
		if err := u.SetReadDeadline(until); err != nil {
			return err
		}
		err := x.ans.read(u.r, x.isHead, false)
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded) || !until.Before(by):
			return err
		case g.view.Load().deserted(x.backend):
			g.calledOff.Add(1)
			return errCalledOff
		}
	}
}

// hung says whether an attempt of a read that ended with its time is the backend's
// fault, by what v says at that end. One that waited for a leader to be elected is
// not: nobody could have answered it.
func (x *exchange) hung(a *attempt, v *View) bool {
	return x.class == classRead && a.end == endTimedOut && !a.calledOff && v.reign == x.reign && v.reads(x.backend)
}
