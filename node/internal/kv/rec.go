package kv

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unsafe"
)

// rec is a key with its item in one piece of memory, encoded as in a snapshot: the
// length of the key, the key, the length of the value, the value, its revision,
// the writes to the key. One piece costs less memory and less of the garbage
// collector's time than a key and a value apart, and a snapshot is written and read
// without a look inside. It is a string so that nothing can change it.
type rec string

// newRec returns the record of a key. It keeps a copy of both.
func newRec(key, value []byte, rev, writes uint64) rec {
	var b strings.Builder
	b.Grow(numberLen(uint64(len(key))) + len(key) + numberLen(uint64(len(value))) + len(value) + numberLen(rev) + numberLen(writes))
	var n [binary.MaxVarintLen64]byte
	b.Write(binary.AppendUvarint(n[:0], uint64(len(key))))
	b.Write(key)
	b.Write(binary.AppendUvarint(n[:0], uint64(len(value))))
	b.Write(value)
	b.Write(binary.AppendUvarint(n[:0], rev))
	b.Write(binary.AppendUvarint(n[:0], writes))
	return rec(b.String())
}

// numberLen is how many bytes a number takes.
func numberLen(n uint64) int { return max(1, (bits.Len64(n)+6)/7) }

func (r rec) key() string {
	if n := r[0]; n < 0x80 {
		return string(r[1 : 1+n])
	}
	n, rest := r.number()
	return string(rest[:n])
}

// item is what the record holds beside the key; the value is the record's own
// memory.
func (r rec) item() Item {
	n, r := r.number()
	n, r = r[n:].number()
	value := r[:n]
	rev, r := r[n:].number()
	writes, _ := r.number()
	return Item{Value: unsafe.Slice(unsafe.StringData(string(value)), len(value)), Rev: rev, Writes: writes}
}

// size is that of the key and the value together.
func (r rec) size() int {
	n, rest := r.number()
	m, _ := rest[n:].number()
	return int(n + m)
}

// number takes a number off the front.
func (r rec) number() (n uint64, rest rec) {
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		n |= uint64(r[i]&0x7f) << shift
		if r[i] < 0x80 {
			return n, r[i+1:]
		}
	}
}

// recLen is how long the record is that b begins with; 0 where b does not hold the
// whole of it, or one of its numbers is encoded as none of ours is.
func recLen(b []byte) int {
	r := reader{b: b}
	r.bytes()
	r.bytes()
	r.uvarint()
	r.uvarint()
	if r.bad {
		return 0
	}
	return len(b) - len(r.b)
}
