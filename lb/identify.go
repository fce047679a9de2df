package lb

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"time"
)

// errWindowFull says that a write found no free number.
var errWindowFull = errors.New("too many numbered writes are in flight")

// ownPath begins the paths of what nodes and balancers say to each other. A
// client's request to one is passed on, but never in the balancer's name.
var ownPath = []byte("/dengine/")

// mayNumber says whether a request may carry a number: a write that goes to the
// leader and can be sent again from its first byte. A node that keeps identities
// takes a multi-get for the read that it is.
func (x *exchange) mayNumber(target []byte) bool {
	cfg := &x.set.cfg
	return cfg.Identities && cfg.WritePolicy == WriteLeader && x.class == classWrite &&
		x.stream == nil && x.hw.upgrade == nil && !bytes.HasPrefix(target, ownPath) &&
		!x.set.routes.multi.is(x.ctx.Method(), target)
}

// identify gives a write its number before it is first sent to a backend that
// keeps identities. It may have to wait, for the session or for the window, and
// then looks whether the client is still there.
func (b *Balancer) identify(x *exchange) waited {
	switch {
	case !x.numbered:
		return waitReady
	case !x.keeps: // it is not in doubt, or aim would not have taken this one
		x.unseal()
		return waitReady
	}
	for x.ticket.session == nil {
		t, w := b.number(x)
		switch {
		case w != waitReady:
			return w
		case t.session != nil:
			x.seal(t)
			return waitReady
		}
		open, changed, until := b.sessions.await()
		if open {
			continue
		}
		switch _, w := attend(b, x, changed, earlier(until, x.holdUntil)); w {
		case waitReady:
		case waitExpired: // it goes without
			return waitReady
		default:
			return w
		}
	}
	return waitReady
}

// number takes a number, and waits for one as long as the write may be held,
// or for a connection. None means that no session is open.
func (b *Balancer) number(x *exchange) (ticket, waited) {
	t, ch := b.sessions.take()
	if ch == nil {
		return t, waitReady
	}
	b.sessions.waits.Add(1)
	until := time.Now().Add(x.set.cfg.ConnectTimeout)
	if until.Before(x.holdUntil) {
		until = x.holdUntil
	}
	t, w := attend(b, x, ch, until)
	switch {
	case w == waitReady:
		return t, w
	case t.session != nil: // it came, but its client has left
		t.finish()
	default:
		b.sessions.leave(ch)
		x.err = errWindowFull
	}
	return ticket{}, w
}

// seal puts the lines of an identity into the head. They stay as they are in
// every later sending.
func (x *exchange) seal(t ticket) {
	var buf [128]byte
	lines := t.appendLines(buf[:0])
	x.head = slices.Insert(x.head, x.headEnd, lines...)
	x.ticket, x.sealed = t, len(lines)
}

// appendLines appends the header lines of an identity.
func (t ticket) appendLines(dst []byte) []byte {
	dst = append(dst, "Dengine-Session: "...)
	dst = append(dst, t.session.id...)
	dst = append(dst, "\r\nDengine-Sequence: "...)
	dst = strconv.AppendUint(dst, t.number, 10)
	dst = append(dst, "\r\nDengine-Acked: "...)
	dst = strconv.AppendUint(dst, t.acked, 10)
	return append(dst, '\r', '\n')
}

// unseal takes the identity away again. It must not be in doubt.
func (x *exchange) unseal() {
	if x.ticket.session == nil {
		return
	}
	x.head = slices.Delete(x.head, x.headEnd, x.headEnd+x.sealed)
	x.finishNumber()
}

// finishNumber gives the number back: nobody will ask for its answer any more.
func (x *exchange) finishNumber() {
	if x.ticket.session != nil {
		x.ticket.finish()
		x.ticket, x.sealed = ticket{}, 0
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
