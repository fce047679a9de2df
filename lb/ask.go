package lb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// reply is a backend's answer to a request of the balancer's own.
type reply struct {
	status int
	body   []byte
}

// code is the machine code of a dengine node's error, or "".
func (r reply) code() string {
	var e refusal
	if err := json.Unmarshal(r.body, &e); err != nil {
		return ""
	}
	return e.Error
}

// ask sends a request of the balancer's own, without a body, to the backend that
// leads in v, and reads the answer, which must be short. It ends early when ctx
// does, and when another backend takes the lead.
func (g *registry) ask(ctx context.Context, v *View, line, fields string, by time.Time) (r reply, err error) {
	be := v.leader()
	u, err := be.pool.get(ctx, by, false)
	if err != nil {
		return r, err
	}
	if !g.claim(u, be, v.reign) {
		be.pool.put(u)
		return r, errPoolLeft
	}
	keep := false
	defer func() {
		if keep {
			be.pool.put(u)
		} else {
			be.pool.drop(u)
		}
	}()
	if err := u.SetDeadline(by); err != nil {
		return r, err
	}
	defer context.AfterFunc(ctx, func() { _ = u.Close() })()
	if _, err := u.Write([]byte(line + " HTTP/1.1\r\nHost: " + be.HTTP + "\r\nContent-Length: 0\r\n" + fields + "\r\n")); err != nil {
		return r, err
	}
	var a answer
	if err := a.read(u.r, false, false); err != nil {
		return r, err
	}
	whole := a.size + a.length
	if a.length < 0 || whole > u.r.Size() {
		return r, fmt.Errorf("%w: its length is not known, or more than %d bytes", errBadAnswer, u.r.Size())
	}
	block, err := u.r.Peek(whole)
	if err != nil {
		return r, err
	}
	r = reply{status: a.status, body: append([]byte(nil), block[a.size:]...)}
	_, err = u.r.Discard(whole)
	keep = err == nil && a.keep && u.r.Buffered() == 0
	return r, err
}
