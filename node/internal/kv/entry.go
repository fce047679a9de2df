package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Entry is what one log entry holds.
type Entry struct {
	// Term is the term in which its leader made it. Raft may log it in a later
	// one, and then it says nothing of the time.
	Term uint64
	// Elapsed is the time since that leader's first entry in Term, in nanoseconds
	// of its monotonic clock.
	Elapsed  uint64
	Commands []Command
}

// An entry is: format, term, elapsed time, number of commands, the commands. A
// put or a delete is: op, condition kind, [number of revisions, revisions], which
// identities it has, [session, number, acknowledged], [scope, idempotency key,
// fingerprint], key, [value]. A mark is its op and the limits; a command of a
// session its op, the session and what is acknowledged. Numbers are unsigned
// varints; keys and values come after their length. Every entry has one encoding,
// so that logs of two nodes can be compared byte by byte.
const entryFormat = 2

// MaxHeaderBytes is the longest beginning of an entry, before its commands.
const MaxHeaderBytes = 1 + 3*binary.MaxVarintLen64

// Which identities a write has.
const (
	idSession = 1 << iota
	idKey
	idEnd
)

// ErrFormat says that an entry or a snapshot cannot be read by this version.
var ErrFormat = errors.New("unknown or damaged encoding")

// AppendEntry appends the beginning of an entry with n commands to b; n times
// AppendCommand must follow.
func AppendEntry(b []byte, term, elapsed uint64, n int) []byte {
	return appendNumbers(append(b, entryFormat), term, elapsed, uint64(n))
}

// AppendCommand appends the encoding of c.
func AppendCommand(b []byte, c *Command) []byte {
	b = append(b, byte(c.Op))
	switch c.Op {
	case OpPut, OpDelete:
		return appendWrite(b, c)
	case OpMark:
		return c.Limits.appendTo(b)
	}
	return binary.AppendUvarint(append(b, c.ID.Session[:]...), c.ID.Acked)
}

func appendWrite(b []byte, c *Command) []byte {
	b = append(b, byte(c.Cond.Kind))
	if c.Cond.hasRevs() {
		b = binary.AppendUvarint(b, uint64(len(c.Cond.Revs)))
		b = appendNumbers(b, c.Cond.Revs...)
	}
	b = c.ID.appendTo(b)
	b = appendBytes(b, c.Key)
	if c.Op == OpPut {
		b = appendBytes(b, c.Value)
	}
	return b
}

func (id *Identity) appendTo(b []byte) []byte {
	kinds := byte(0)
	if id.Sequence != 0 {
		kinds |= idSession
	}
	if len(id.Key) != 0 {
		kinds |= idKey
	}
	b = append(b, kinds)
	if kinds&idSession != 0 {
		b = append(b, id.Session[:]...)
		b = appendNumbers(b, id.Sequence, id.Acked)
	}
	if kinds&idKey != 0 {
		b = append(b, id.Scope[:]...)
		b = appendBytes(b, id.Key)
		b = append(b, id.Fingerprint[:]...)
	}
	return b
}

func appendNumbers(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// DecodeEntry reads an entry into e and uses the space of e.Commands again. The
// commands alias data. An error wraps ErrFormat.
func DecodeEntry(data []byte, e *Entry) error {
	e.Commands = e.Commands[:0]
	r := reader{b: data}
	if f := r.byte(); f != entryFormat {
		return fmt.Errorf("%w: entry format %d, this version reads %d", ErrFormat, f, entryFormat)
	}
	e.Term, e.Elapsed = r.uvarint(), r.uvarint()
	n := r.uvarint()
	if n > uint64(len(data)) {
		return fmt.Errorf("%w: %d commands in %d bytes", ErrFormat, n, len(data))
	}
	for range n {
		c := Command{Op: Op(r.byte())}
		switch {
		case c.Op >= opEnd:
			return fmt.Errorf("%w: operation %d", ErrFormat, c.Op)
		case c.Op == OpPut, c.Op == OpDelete:
			r.write(&c)
		case c.Op == OpMark:
			r.limits(&c.Limits)
		default:
			r.fixed(c.ID.Session[:])
			c.ID.Acked = r.uvarint()
		}
		if r.bad {
			break
		}
		e.Commands = append(e.Commands, c)
	}
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: entry of %d bytes has a field that cannot be, or ends in the wrong place", ErrFormat, len(data))
	}
	return nil
}

// reader takes fields off the front of b; bad once something did not fit.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) { // a longer encoding than need be is another encoding
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	field := r.b[:n:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) fixed(field []byte) {
	if len(r.b) < len(field) {
		r.fail()
		return
	}
	copy(field, r.b)
	r.b = r.b[len(field):]
}

func (r *reader) write(c *Command) {
	if c.Cond.Kind = CondKind(r.byte()); c.Cond.Kind >= condEnd {
		r.fail()
	}
	if c.Cond.hasRevs() {
		c.Cond.Revs = r.revs()
	}
	r.identity(&c.ID)
	c.Key = r.bytes()
	if c.Op == OpPut {
		c.Value = r.bytes()
	}
}

func (r *reader) revs() []uint64 {
	n := r.uvarint()
	if n > MaxRevs {
		r.fail()
		return nil
	}
	revs := make([]uint64, n)
	for i := range revs {
		revs[i] = r.uvarint()
	}
	return revs
}

func (r *reader) identity(id *Identity) {
	kinds := r.byte()
	if kinds >= idEnd {
		r.fail()
	}
	if kinds&idSession != 0 {
		r.fixed(id.Session[:])
		if id.Sequence, id.Acked = r.uvarint(), r.uvarint(); id.Sequence == 0 {
			r.fail()
		}
	}
	if kinds&idKey != 0 {
		r.fixed(id.Scope[:])
		if id.Key = r.bytes(); len(id.Key) == 0 || len(id.Key) > MaxIDKeyBytes {
			r.fail()
		}
		r.fixed(id.Fingerprint[:])
	}
}

func (r *reader) limits(l *Limits) {
	for _, p := range l.fields() {
		*p = r.uvarint()
	}
}
