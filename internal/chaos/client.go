package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/dengine/dengine/internal/once"
)

// client does one operation after the other at one address.
type client struct {
	l      *load
	at     string
	id     int // a new one after an unknown outcome: the operation may still go on
	wrote  int // values, so far
	random *rand.Rand
	http   once.Client
	last   seen // for the next CAS
}

// seen is what a client knows of a key: its value, empty where there is none, and
// the value's tag.
type seen struct{ key, value, tag string }

// Of a hundred requests; the rest are CAS.
const reads, puts, deletes = 55, 25, 6

// act does one operation, and notes it unless it is none.
func (c *client) act() {
	key := fmt.Sprintf("%s%02d", c.l.prefix, c.random.IntN(c.l.p.Keys))
	switch n := c.random.IntN(100); {
	case n < reads:
		c.read(key)
	case n < reads+puts:
		c.write(Op{Key: key, Kind: Put, Value: c.newValue()})
	case n < reads+puts+deletes:
		c.write(Op{Key: key, Kind: Delete})
	case c.last.key == "":
		c.read(key)
	default:
		c.compareAndSet()
	}
}

// newValue is one that nobody has written before.
func (c *client) newValue() string {
	c.wrote++
	return fmt.Sprintf("%d.%d", c.id, c.wrote)
}

// read reads at the level of the round; where that is the nodes' default, half of
// the reads leave it to them.
func (c *client) read(key string) {
	query := c.l.promise.query()
	if c.l.promise.isDefault() && c.random.IntN(2) == 0 {
		query = ""
	}
	o := Op{Client: c.id, At: c.at, Key: key, Kind: Read, Result: OK, Call: c.l.since()}
	a, err := c.http.Do(http.MethodGet, "/kv/"+key+query, nil, "Accept", "application/octet-stream")
	o.Return = c.l.since()
	switch {
	case err == nil && a.OK():
		o.Value = string(a.Body)
	case err == nil && a.Code() == "key_not_found":
	default:
		c.l.fail(o, a, err)
		return
	}
	c.last = seen{key, o.Value, a.ETag}
	c.l.note(o)
}

// compareAndSet replaces what the client has last seen, if it is still there.
func (c *client) compareAndSet() {
	s := c.last
	c.last = seen{}
	condition := []string{"If-None-Match", "*"}
	if s.value != "" {
		condition = []string{"If-Match", s.tag}
	}
	c.write(Op{Key: s.key, Kind: CAS, Value: c.newValue(), Expect: s.value}, condition...)
}

// write sends a put, a delete or a CAS.
func (c *client) write(o Op, headers ...string) {
	method := http.MethodPut
	if o.Kind == Delete {
		method = http.MethodDelete
	}
	o.Client, o.At, o.Call = c.id, c.at, c.l.since()
	a, err := c.http.Do(method, "/kv/"+o.Key, []byte(o.Value), headers...)
	o.Return = c.l.since()
	switch fate := once.FateOf(a, err); {
	case fate == once.Acked:
		o.Result = OK
		c.last = seen{o.Key, o.Value, a.ETag}
	case fate == once.Refused && a.Status == http.StatusPreconditionFailed:
		o.Result = Failed
	case fate == once.Refused:
		c.l.fail(o, a, err)
		return
	default:
		o.Result, o.Return = Unknown, Never
		c.l.fail(o, a, err)
		c.id = c.l.newClient()
	}
	c.l.note(o)
}
