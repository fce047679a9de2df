package kv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// A snapshot whose answers are not such as a session can have, each once and in
// order, is refused.
func TestRestoreRefusesForgedAnswers(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	const acked, each = 5, 16 + 8 + 5 // an answer: session, number, five small numbers
	for _, id := range []byte{1, 2} {
		s := kv.Identity{Session: kv.SessionID{id}, Acked: acked}
		apply(m, kv.Command{Op: kv.OpOpen, ID: s}, kv.Command{Op: kv.OpRenew, ID: s})
		apply(m, in(put("k", "v"), id, acked+1, 0), in(put("k", "v"), id, acked+2, 0))
	}
	data := snapshot(t, m)
	head, tail := data[:len(data)-4*each], data[len(data)-4*each:]
	for _, c := range []struct {
		what   string
		forge  func(a [][]byte)
		number uint64 // of the last answer
		ok     bool
	}{
		{what: "as it is", number: acked + 2, ok: true},
		{what: "the last of the window", number: acked + kv.Window, ok: true},
		{what: "beyond the window", number: acked + kv.Window + 1},
		{what: "far beyond the window", number: ^uint64(0)},
		{what: "acknowledged", number: acked},
		{what: "twice", number: acked + 1},
		{what: "out of order", number: acked + 2, forge: func(a [][]byte) { a[2], a[3] = a[3], a[2] }},
		{what: "sessions out of order", number: acked + 2, forge: func(a [][]byte) { a[0], a[1], a[2], a[3] = a[2], a[3], a[0], a[1] }},
		{what: "sessions mixed", number: acked + 2, forge: func(a [][]byte) { a[1], a[2] = a[2], a[1] }},
		{what: "of no session", number: acked + 2, forge: func(a [][]byte) { a[3][1] = 1 }},
	} {
		answers := slices.Collect(slices.Chunk(bytes.Clone(tail), each))
		binary.BigEndian.PutUint64(answers[3][16:], c.number)
		if c.forge != nil {
			c.forge(answers)
		}
		forged := slices.Concat(head, bytes.Join(answers, nil))
		back, err := kv.ReadSnapshot(bytes.NewReader(forged))
		if (err == nil) != c.ok || err != nil && !errors.Is(err, kv.ErrFormat) {
			t.Errorf("%s: %v", c.what, err)
		}
		if err == nil && !bytes.Equal(snapshot(t, back), forged) {
			t.Errorf("%s: it is not what it says when it is written again", c.what)
		}
	}
}
