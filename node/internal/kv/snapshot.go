package kv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/tidwall/btree"
)

// A snapshot is: magic, format; index, term, revision counter, the cluster clock,
// its term and base, the limits; how many keys, sessions, answers and idempotency
// keys there are; then these, the last in the order of their revisions and the
// others in that of their keys. The encoding is that of entries; an answer is:
// status, revision, writes, whether the key was there, index.
const (
	snapshotMagic  = "dkvs"
	snapshotFormat = 2
)

// fields are the numbers in the order of their encoding.
func (n *numbers) fields() []*uint64 {
	limits := n.limits.fields()
	return append([]*uint64{&n.index, &n.term, &n.rev, &n.clock.now, &n.clock.term, &n.clock.base}, limits[:]...)
}

// WriteTo writes the view as a snapshot. It implements io.WriterTo.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	sw := snapshotWriter{w: bufio.NewWriterSize(w, 256<<10)}
	b := append([]byte(snapshotMagic), snapshotFormat)
	for _, p := range v.numbers.fields() {
		b = binary.AppendUvarint(b, *p)
	}
	for _, n := range []int{v.items.count, v.sessions.Len(), v.answers, v.records.Len()} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	sw.write(b)
	v.items.ascend("", func(r rec) bool { return sw.note(sw.w.WriteString(string(r))) })
	writeAll(&sw, v.sessions, func(b []byte, id string, s *session) []byte {
		return appendNumbers(append(b, id...), s.used, s.acked)
	})
	writeAll(&sw, v.sessions, appendAnswers)
	writeAll(&sw, v.records, func(b []byte, rev uint64, r record) []byte {
		b = appendNumbers(b, rev, r.at, uint64(len(r.name)))
		b = append(append(b, r.name...), r.fingerprint[:]...)
		return appendAnswer(b, r.answer)
	})
	return sw.done()
}

// appendAnswers appends what a session keeps: its id, the number in eight bytes and
// the answer, for each.
func appendAnswers(b []byte, id string, s *session) []byte {
	s.each(func(number uint64, r *Result) {
		b = binary.BigEndian.AppendUint64(append(b, id...), number)
		b = appendAnswer(b, *r)
	})
	return b
}

func appendAnswer(b []byte, r Result) []byte {
	found := uint64(0)
	if r.Found {
		found = 1
	}
	return appendNumbers(b, uint64(r.Status), r.Rev, r.Writes, found, r.Index)
}

// writeAll writes what a tree holds, in order.
func writeAll[K uint64 | string, V any](sw *snapshotWriter, tree *btree.Map[K, V], encode func([]byte, K, V) []byte) {
	var buf []byte
	tree.Scan(func(key K, value V) bool {
		buf = encode(buf[:0], key, value)
		return sw.write(buf)
	})
}

// snapshotWriter counts what it writes.
type snapshotWriter struct {
	w     *bufio.Writer
	total int64
	err   error
}

func (sw *snapshotWriter) write(b []byte) (ok bool) { return sw.note(sw.w.Write(b)) }

// note counts what was written; bufio.Writer gives its first error again and again.
func (sw *snapshotWriter) note(n int, err error) (ok bool) {
	sw.total, sw.err = sw.total+int64(n), err
	return err == nil
}

func (sw *snapshotWriter) done() (int64, error) {
	if sw.err == nil {
		sw.err = sw.w.Flush()
	}
	return sw.total, sw.err
}

// Hash is the SHA-256 of the snapshot: two nodes at the same index have the
// same one.
func (v *View) Hash() [sha256.Size]byte {
	h := sha256.New()
	if _, err := v.WriteTo(h); err != nil { // a hash never fails to write
		panic(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
