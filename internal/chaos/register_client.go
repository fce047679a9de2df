package chaos

import "fmt"

// registers are keys that are read, put, deleted and compared and set, each as
// it comes; their histories are judged by porcupine.
type registers struct{ l *load }

// registrar is a client's part of it.
type registrar struct {
	*client
	last Op // read or written, for the next CAS; without a key where there is none
}

// Of a hundred requests; the rest are CAS.
const reads, puts, deletes = 55, 25, 6

func (w registers) join(c *client) func() { return (&registrar{client: c}).act }

func (w registers) key(n int) string { return fmt.Sprintf("%s%02d", w.l.prefix, n) }

// closing reads every register once more.
func (w registers) closing(c *client) bool {
	for n := range w.l.p.Keys {
		if _, ok := c.get(c.here, Op{Key: w.key(n)}, w.l.promise.strong()); !ok {
			return false
		}
	}
	return true
}

func (w registers) check(h []Op) *Finding { return w.l.promise.check(h, patience) }

// act does one operation.
func (c *registrar) act() {
	key := registers{c.l}.key(c.random.IntN(c.l.p.Keys))
	switch n := c.random.IntN(100); {
	case n < reads:
		c.read(key)
	case n < reads+puts:
		c.write(Op{Key: key, Kind: Put, Value: c.newValue()})
	case n < reads+puts+deletes:
		c.write(Op{Key: key, Kind: Delete})
	case c.last.Key == "":
		c.read(key)
	default:
		c.compareAndSet()
	}
}

// read reads at the level of the round; where that is the nodes' default, half of
// the reads leave it to them.
func (c *registrar) read(key string) {
	query := c.l.promise.query()
	if c.l.promise.isDefault() && c.chance(2) {
		query = ""
	}
	if o, ok := c.get(c.here, Op{Key: key}, query); ok {
		c.last = o
	}
}

// compareAndSet replaces what the client has last seen, if it is still there.
func (c *registrar) compareAndSet() {
	seen := c.last
	c.last = Op{}
	c.write(Op{Key: seen.Key, Kind: CAS, Value: c.newValue(), Expect: seen.Value}, condition(seen)...)
}

// write is a client's; the next CAS is on what it has left.
func (c *registrar) write(o Op, headers ...string) {
	if o = c.client.write(o, headers...); o.Result == OK {
		c.last = o
	}
}

// condition is that a register holds what was seen: after a delete there is a tag,
// and no value.
func condition(seen Op) []string {
	if seen.Value == "" {
		seen.Tag = ""
	}
	return unchanged(seen)
}
