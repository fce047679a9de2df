package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/dengine/dengine/internal/once"
)

// client does one operation after the other at one place, of all workloads as
// chance has it.
type client struct {
	l      *load
	here   *place
	id     int // a new one after an unknown outcome: the operation may still go on
	made   int // values and identities, so far
	random *rand.Rand
	parts  []part
}

// place is an address that clients talk to.
type place struct {
	name string // "lb", or a node's
	once.Client
}

// part is what a client does of one workload.
type part struct {
	share int // of all that it does
	act   func()
}

// act does a little of one of the workloads.
func (c *client) act() {
	all := 0
	for _, p := range c.parts {
		all += p.share
	}
	n := c.random.IntN(all)
	for _, p := range c.parts {
		if n -= p.share; n < 0 {
			p.act()
			return
		}
	}
}

// newValue is one that nobody has made before.
func (c *client) newValue() string {
	c.made++
	return fmt.Sprintf("%d.%d", c.id, c.made)
}

// chance is true one time in n.
func (c *client) chance(n int) bool { return c.random.IntN(n) == 0 }

// ask sends an operation's request once, and notes when.
func (c *client) ask(o *Op, at *place, method, path string, headers ...string) (once.Answer, error) {
	o.Client, o.At, o.Call = c.id, at.name, c.l.since()
	a, err := at.Do(method, path, []byte(o.Value), headers...)
	o.Return = c.l.since()
	return a, err
}

// get reads a key and notes what it held; false where it could not be read.
func (c *client) get(at *place, o Op, query string) (Op, bool) {
	o.Kind, o.Result = Read, OK
	a, err := c.ask(&o, at, http.MethodGet, "/kv/"+o.Key+query, "Accept", "application/octet-stream")
	switch {
	case err == nil && a.OK():
		o.Value, o.Tag, o.Writes = string(a.Body), a.ETag, a.Writes
	case err == nil && a.Code() == "key_not_found":
	default:
		c.l.fail(o, a, err)
		return o, false
	}
	c.l.note(o)
	return o, true
}

// write sends a put, a delete or a CAS once, and notes it unless it was refused:
// then it has no result.
func (c *client) write(o Op, headers ...string) Op {
	method := http.MethodPut
	if o.Kind == Delete {
		method = http.MethodDelete
	}
	a, err := c.ask(&o, c.here, method, "/kv/"+o.Key, headers...)
	return c.ended(o, a, err)
}

// ended notes what became of a write.
func (c *client) ended(o Op, a once.Answer, err error) Op {
	switch fate := once.FateOf(a, err); {
	case fate == once.Acked:
		o.Result, o.Tag, o.Writes = OK, a.ETag, a.Writes
	case fate == once.Refused && a.Status == http.StatusPreconditionFailed:
		o.Result = Failed
	case fate == once.Refused:
		c.l.fail(o, a, err)
		return o
	default:
		o.Result, o.Return = Unknown, Never
		c.l.fail(o, a, err)
		c.id = c.l.newClient()
	}
	c.l.note(o)
	return o
}

const (
	// certainFor is how long a write is asked for again, and so less than
	// keyLife by more than a request may be on its way: a copy that comes when
	// its key is over would be a new write.
	certainFor = 8 * time.Second
	retryPause = 20 * time.Millisecond
	// lostAnswers is how many first answers are needed for one to be lost on its
	// way, as it were.
	lostAnswers = 8
)

// errInDoubt is why a write is left open that was asked for again and again.
var errInDoubt = errors.New("in doubt to the end")

// certain puts a value under an Idempotency-Key. Where the answer leaves the
// outcome open, or is lost, the same request goes to the balancer, again and again,
// until it is known what became of it. Its call is the first one's.
func (c *client) certain(at *place, o Op, headers ...string) Op {
	headers = append(headers, "Idempotency-Key", c.l.prefix+"key-"+c.newValue())
	call := c.l.since()
	for doubt := false; ; doubt = true {
		a, err := c.ask(&o, at, http.MethodPut, "/kv/"+o.Key, headers...)
		o.Call = call
		lost := !doubt && err == nil && c.chance(lostAnswers)
		switch refused := !doubt && once.FateOf(a, err) == once.Refused; {
		case lost: // and so it goes on
		case refused, decided(a, err):
			return c.ended(o, a, err)
		case o.Return-call > certainFor:
			return c.ended(o, once.Answer{}, errInDoubt)
		}
		at = c.l.front
		time.Sleep(retryPause)
	}
}

// decided says that an answer is what the state machine made of a write, whichever
// of its copies it was.
func decided(a once.Answer, err error) bool {
	return once.FateOf(a, err) == once.Acked || err == nil && a.Status == http.StatusPreconditionFailed && a.Outcome == "not-applied"
}

// unchanged makes a write happen only where its key is as it was read.
func unchanged(read Op) []string {
	if read.Tag == "" {
		return []string{"If-None-Match", "*"}
	}
	return []string{"If-Match", read.Tag}
}

// number is the number in a value, 0 where there is none, -1 where it is something
// else.
func number(value string) int {
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
