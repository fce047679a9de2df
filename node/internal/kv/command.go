package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Op is what a command does.
type Op uint8

const (
	OpNoop Op = iota // marks the start of a term
	OpPut
	OpDelete
	opEnd
)

// CondKind is the kind of a precondition.
type CondKind uint8

const (
	CondNone    CondKind = iota
	CondExists           // If-Match: *
	CondAbsent           // If-None-Match: *
	CondMatch            // If-Match: the current revision is one of Revs
	CondNoMatch          // If-None-Match: it is none of Revs
	condEnd
)

// MaxRevs bounds how many entity tags one condition may name.
const MaxRevs = 32

// Condition must hold when the command is applied, or nothing is changed.
type Condition struct {
	Kind CondKind
	Revs []uint64
}

// Command is one write. Key and Value are not kept: Apply copies them.
type Command struct {
	Op    Op
	Key   []byte
	Value []byte // of a put
	Cond  Condition
}

// An entry is: format, number of commands, the commands. A command is: op,
// condition kind, [number of revisions, revisions], key, [value]. Numbers are
// unsigned varints; key and value come after their length. Every state has one
// encoding, so that logs of two nodes can be compared byte by byte.
const entryFormat = 1

// ErrFormat says that an entry or a snapshot cannot be read by this version.
var ErrFormat = errors.New("unknown or damaged encoding")

// AppendEntry appends the header of an entry with n commands to b; n times
// AppendCommand must follow.
func AppendEntry(b []byte, n int) []byte {
	return binary.AppendUvarint(append(b, entryFormat), uint64(n))
}

// AppendCommand appends the encoding of c.
func AppendCommand(b []byte, c *Command) []byte {
	b = append(b, byte(c.Op), byte(c.Cond.Kind))
	if c.Cond.Kind == CondMatch || c.Cond.Kind == CondNoMatch {
		b = binary.AppendUvarint(b, uint64(len(c.Cond.Revs)))
		for _, r := range c.Cond.Revs {
			b = binary.AppendUvarint(b, r)
		}
	}
	b = appendBytes(b, c.Key)
	if c.Op == OpPut {
		b = appendBytes(b, c.Value)
	}
	return b
}

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// DecodeEntry appends the commands of an entry to dst. They alias data. An
// error wraps ErrFormat and leaves nothing half done.
func DecodeEntry(data []byte, dst []Command) ([]Command, error) {
	r := reader{b: data}
	if f := r.byte(); f != entryFormat {
		return nil, fmt.Errorf("%w: entry format %d, this version reads %d", ErrFormat, f, entryFormat)
	}
	n := r.uvarint()
	if n > uint64(len(data)) {
		return nil, fmt.Errorf("%w: %d commands in %d bytes", ErrFormat, n, len(data))
	}
	for range n {
		var c Command
		c.Op, c.Cond.Kind = Op(r.byte()), CondKind(r.byte())
		if c.Op >= opEnd || c.Cond.Kind >= condEnd {
			return nil, fmt.Errorf("%w: operation %d, condition %d", ErrFormat, c.Op, c.Cond.Kind)
		}
		if c.Cond.Kind == CondMatch || c.Cond.Kind == CondNoMatch {
			c.Cond.Revs = r.revs()
		}
		c.Key = r.bytes()
		if c.Op == OpPut {
			c.Value = r.bytes()
		}
		dst = append(dst, c)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: entry of %d bytes ends in the wrong place", ErrFormat, len(data))
	}
	return dst, nil
}

// reader takes fields off the front of b; bad once something did not fit.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) { // a longer encoding than need be is another encoding
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	field := r.b[:n:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) revs() []uint64 {
	n := r.uvarint()
	if n > MaxRevs {
		r.bad, r.b = true, nil
		return nil
	}
	revs := make([]uint64, n)
	for i := range revs {
		revs[i] = r.uvarint()
	}
	return revs
}
