package kv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFieldBytes bounds a key or a value in a snapshot: a damaged length must not
// make a node ask for more memory than there is.
const MaxFieldBytes = 1 << 30

// ReadSnapshot reads what WriteTo wrote. The whole of r must be the snapshot. An
// error wraps ErrFormat and says where it ends to make sense.
func ReadSnapshot(r io.Reader) (*Machine, error) {
	m, sr := new(Machine), snapshotReader{br: bufio.NewReaderSize(r, 256<<10)}
	head := make([]byte, len(snapshotMagic)+1)
	sr.full(head)
	if sr.err == nil && (string(head[:len(snapshotMagic)]) != snapshotMagic || head[len(snapshotMagic)] != snapshotFormat) {
		return nil, fmt.Errorf("%w: snapshot starts with %q, this version reads format %d", ErrFormat, head, snapshotFormat)
	}
	for _, p := range m.numbers.fields() {
		*p = sr.number()
	}
	var counts [4]uint64
	for i := range counts {
		counts[i] = sr.number()
	}
	if sr.err != nil {
		return nil, fmt.Errorf("%w: snapshot header: %w", ErrFormat, sr.err)
	}
	for i, part := range []struct {
		what string
		read func(*snapshotReader) error
	}{{"key", m.readItem}, {"session", m.readSession}, {"answer", m.readAnswer}, {"idempotency key", m.readRecord}} {
		for k := range counts[i] {
			err := part.read(&sr)
			if sr.err != nil { // what was read is not worth a judgement
				err = sr.err
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %s %d of %d: %w", ErrFormat, part.what, k+1, counts[i], err)
			}
		}
	}
	if _, err := sr.br.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: data after the end", ErrFormat)
	}
	return m, nil
}

var errOrder = errors.New("it is out of order")

func (m *Machine) readItem(sr *snapshotReader) error {
	r := sr.rec()
	if sr.err != nil {
		return sr.err
	}
	if m.items.count > 0 && r.key() <= sr.last.key() {
		return errOrder
	}
	sr.last = r
	sr.leaf = m.items.add(sr.leaf, r)
	return nil
}

func (m *Machine) readSession(sr *snapshotReader) error {
	var id SessionID
	sr.full(id[:])
	s := &session{used: sr.number(), answers: answers{acked: sr.number()}}
	if s.used > m.clock.now {
		return errors.New("it was used after the end of the snapshot")
	}
	if last, _, ok := m.sessions.Max(); ok && string(id[:]) <= last {
		return errOrder
	}
	m.sessions.Load(string(id[:]), s)
	return nil
}

func (m *Machine) readAnswer(sr *snapshotReader) error {
	var at [sessionBytes + 8]byte
	sr.full(at[:])
	number := binary.BigEndian.Uint64(at[sessionBytes:])
	answer := sr.answer(storedEnd)
	s, ok := m.sessions.Get(string(at[:sessionBytes]))
	if !ok || number <= s.acked || number-s.acked > Window {
		return fmt.Errorf("its number %d is not one that a session may have", number)
	}
	if m.answers > 0 && bytes.Compare(at[:], sr.answered[:]) <= 0 {
		return errOrder
	}
	sr.answered = at
	s.put(number, answer)
	m.answers++
	return nil
}

func (m *Machine) readRecord(sr *snapshotReader) error {
	rev := sr.number()
	r := record{at: sr.number(), name: string(sr.field())}
	sr.full(r.fingerprint[:])
	r.answer = sr.answer(StatusFull)
	_, twice := m.keys.get([]byte(r.name))
	last, before, ok := m.keys.records.Max()
	switch {
	case len(r.name) <= scopeBytes || len(r.name) > scopeBytes+MaxIDKeyBytes:
		return fmt.Errorf("it has %d bytes", len(r.name)-scopeBytes)
	case r.at > m.clock.now || rev > m.rev:
		return errors.New("it is of after the end of the snapshot")
	case twice || ok && (rev <= last || r.at < before.at):
		return errOrder
	}
	m.keys.put(rev, r)
	return nil
}

// snapshotReader reads fields until one fails; err is why.
type snapshotReader struct {
	br       *bufio.Reader
	last     rec                    // the last key's
	leaf     *page                  // where that is
	answered [sessionBytes + 8]byte // session and number of the last answer
	err      error
}

// rec reads a record: at once where the buffer holds the whole of it in the one
// encoding that it should have, else field by field.
func (sr *snapshotReader) rec() rec {
	ahead, _ := sr.br.Peek(sr.br.Buffered())
	if n := recLen(ahead); n > 0 {
		r := rec(ahead[:n])
		_, sr.err = sr.br.Discard(n)
		return r
	}
	key, value := sr.field(), sr.field()
	rev, writes := sr.number(), sr.number()
	return newRec(key, value, rev, writes)
}

func (sr *snapshotReader) full(b []byte) {
	if sr.err == nil {
		_, sr.err = io.ReadFull(sr.br, b)
	}
}

func (sr *snapshotReader) number() (n uint64) {
	if sr.err == nil {
		n, sr.err = binary.ReadUvarint(sr.br)
	}
	return n
}

// answer reads an answer, whose status must be before end.
func (sr *snapshotReader) answer(end Status) Result {
	status, rev, writes, found, index := sr.number(), sr.number(), sr.number(), sr.number(), sr.number()
	if sr.err == nil && (status >= uint64(end) || found > 1) {
		sr.err = fmt.Errorf("answer of status %d", status)
	}
	return Result{Status: Status(status), Rev: rev, Writes: writes, Found: found == 1, Index: index}
}

// field reads a length and as many bytes, growing as they come: a damaged length
// costs an error, not memory.
func (sr *snapshotReader) field() []byte {
	n := sr.number()
	if n > MaxFieldBytes {
		sr.err = fmt.Errorf("field of %d bytes", n)
	}
	const step = 1 << 20
	var field []byte
	for sr.err == nil && uint64(len(field)) < n {
		more := make([]byte, min(n-uint64(len(field)), step))
		sr.full(more)
		if field == nil {
			field = more
		} else {
			field = append(field, more...)
		}
	}
	return field
}
