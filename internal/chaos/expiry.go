package chaos

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/dengine/dengine/internal/once"
)

// expiry is writes under identities that are asked for again: at once, when each
// must get its first answer, and when the identity is over. A write of a session
// that is over is never executed; a key that is over is a new one. Sessions are
// opened at the nodes, since the balancer passes no client's session on.
type expiry struct{ l *load }

const (
	mostHeld  = 8 // identities of a kind that a client waits for at once
	lateAgain = 2 // lifetimes, until a write is asked for again
)

// Kinds of identities, in the names of the keys that are written under them.
const underKey, inSession = "key-", "session-"

// held is a write that was acknowledged, to be asked for again.
type held struct {
	op      Op
	headers []string
	life    time.Duration
	due     time.Duration
}

// holder is a client's part of the workload.
type holder struct {
	*client
	w    expiry
	held []held
}

func (w expiry) prefix() string { return w.l.key(ofExpiry, "") }

func (w expiry) join(c *client) func() { return (&holder{client: c, w: w}).act }

func (w expiry) closing(c *client) bool {
	_, ok := c.scan(c.here, Op{Workload: ofExpiry, Key: w.prefix()}, mostElements)
	return ok
}

// act asks again for what is due, or begins with a new identity.
func (c *holder) act() {
	due := slices.IndexFunc(c.held, func(h held) bool { return h.due <= c.l.since() })
	switch {
	case due >= 0 && c.again(c.held[due]):
		c.held = slices.Delete(c.held, due, due+1)
	case due >= 0:
		c.held[due].due = c.l.since() + sessionLife/10
	case c.here.name != c.l.front.name && c.holds(sessionLife) < mostHeld:
		c.newSession()
	default:
		c.newKey()
	}
}

// holds is how many writes of a kind wait to be asked for again.
func (c *holder) holds(life time.Duration) (n int) {
	for _, h := range c.held {
		if h.life == life {
			n++
		}
	}
	return n
}

func (c *holder) newKey() {
	value := c.newValue()
	c.first(held{
		op:      Op{Workload: ofExpiry, Key: c.w.prefix() + underKey + value, Kind: Put, Value: value},
		headers: []string{"Idempotency-Key", c.l.prefix + "expiry-" + value}, life: keyLife,
	})
}

func (c *holder) newSession() {
	a, err := c.here.Do(http.MethodPost, "/dengine/session", nil, "Dengine-Session", "new")
	var opened struct{ Session string }
	if err != nil || !a.OK() || json.Unmarshal(a.Body, &opened) != nil {
		return // most nodes are followers
	}
	value := c.newValue()
	c.first(held{
		op:      Op{Workload: ofExpiry, Key: c.w.prefix() + inSession + value, Kind: Put, Value: value},
		headers: []string{"Dengine-Session", opened.Session, "Dengine-Sequence", "1", "Dengine-Acked", "0"}, life: sessionLife,
	})
}

// first writes, and where that was acknowledged asks again at once, and keeps the
// write for later, unless enough wait.
func (c *holder) first(h held) {
	if h.op = c.write(h.op, h.headers...); h.op.Result != OK {
		return
	}
	if c.again(h) && c.holds(h.life) < mostHeld {
		h.due = c.l.since() + lateAgain*h.life
		c.held = append(c.held, h)
	}
}

// again sends the write once more, to one node after the other until it is not
// refused, and notes what became of it; false where all refuse it.
func (c *holder) again(h held) bool {
	for _, at := range append([]*place{c.here}, c.l.nodes...) {
		o := h.op
		o.Kind, o.Result = Again, OK
		a, err := c.ask(&o, at, http.MethodPut, "/kv/"+o.Key, h.headers...)
		o.Tag, o.Writes, o.Replayed = a.ETag, a.Writes, a.Replayed
		switch fate := once.FateOf(a, err); {
		case fate == once.Acked:
		case err == nil && a.Code() == "session_unknown":
			o.Result = Failed
		case fate == once.Refused:
			continue
		default:
			o.Result, o.Return = Unknown, Never
			c.l.fail(o, a, err)
		}
		c.l.note(o)
		return true
	}
	return false
}
