package harness

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Of what passes a lossy link. TCP sends a lost segment again after 200 ms at the
// earliest, and waits twice as long each time it is lost once more.
const (
	stallChance = 0.01
	resetChance = 0.001
	leastStall  = 200 * time.Millisecond
	mostStall   = 800 * time.Millisecond
)

var (
	errGone = errors.New("the other side has ended")
	errLost = errors.New("too much was lost")
)

// pass waits until bytes may go over a link, as long as it is cut and as it is slow
// or lossy. errGone says that gone or done was closed meanwhile, errLost that the
// connection ends here.
func (n *Network) pass(l Link, gone, done <-chan struct{}) error {
	wait, err := n.weather(l)
	if err == nil && wait > 0 {
		err = pause(wait, gone, done)
	}
	for err == nil {
		n.mu.Lock()
		cut, changed := n.cut[l] > 0, n.changed
		n.mu.Unlock()
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-gone:
			err = errGone
		case <-done:
			err = errGone
		}
	}
	return err
}

// weather is what chance has in store for the next bytes on a link.
func (n *Network) weather(l Link) (wait time.Duration, err error) {
	n.mu.Lock()
	slow, lossy := n.slow[l], n.lossy[l]
	n.mu.Unlock()
	if slow > 0 {
		wait = slow*3/4 + rand.N(slow/2+1)
	}
	if lossy {
		switch luck := n.luck(); {
		case luck < resetChance:
			return 0, errLost
		case luck < resetChance+stallChance:
			wait += leastStall + rand.N(mostStall-leastStall)
		}
	}
	return wait, nil
}

func pause(d time.Duration, gone, done <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-gone:
		return errGone
	case <-done:
		return errGone
	}
}
