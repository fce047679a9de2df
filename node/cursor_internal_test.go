package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestCursor(t *testing.T) {
	t.Parallel()
	for _, c := range []cursor{
		{index: 0, prefix: []byte{}, next: []byte("a")},
		{index: 300, prefix: []byte("users/"), next: []byte("users/\xff\x00")},
		{index: 1<<64 - 1, prefix: []byte("all"), next: []byte("all")},
		{index: 7, prefix: []byte{}, next: bytes.Repeat([]byte("k"), MaxKeyBytes)},
	} {
		text := c.append(nil)
		got, err := parseCursor(text)
		if err != nil || got.index != c.index || !bytes.Equal(got.prefix, c.prefix) || !bytes.Equal(got.next, c.next) {
			t.Errorf("%+v becomes %s and then %+v, %v", c, text, got, err)
		}
		if strings.Trim(string(text), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%s must be written otherwise in a query", text)
		}
	}
	encode := func(raw ...byte) string { return cursorText.EncodeToString(raw) }
	for what, text := range map[string]string{
		"nothing":                        "",
		"not base64":                     "%",
		"base64 of nothing":              encode(),
		"another format":                 encode(2, 0, 0, 'a'),
		"no prefix":                      encode(1, 5),
		"no key":                         encode(1, 5, 0),
		"a prefix longer than the key":   encode(1, 5, 2, 'a'),
		"a prefix of 2^64-1 bytes":       encode(append(binary.AppendUvarint([]byte{1, 5}, 1<<64-1), 'a')...),
		"an index longer than it has to": encode(1, 0x85, 0, 0, 'a'),
		"an index without an end":        encode(1, 0x85),
		"a key that is too long":         encode(append([]byte{1, 5, 0}, bytes.Repeat([]byte("k"), MaxKeyBytes+1)...)...),
		"padding":                        encode(1, 5, 0, 'a') + "==",
		"a line end":                     encode(1, 5, 0, 'a') + "\n",
		"bits behind the end":            encode(1, 5, 0, 'a')[:5] + "R",
	} {
		if c, err := parseCursor([]byte(text)); !errors.Is(err, ErrBadInput) {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
}

// Whatever a client sends as a cursor is refused, or is a cursor that was written
// the one way there is and makes a range that can be scanned.
func FuzzCursor(f *testing.F) {
	for _, c := range []cursor{
		{index: 1, next: []byte("a")}, {index: 300, prefix: []byte("users/"), next: []byte("users/\xff\x00")},
	} {
		f.Add(c.append(nil))
	}
	f.Add([]byte("AQUAYR"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCursor(text)
		if err != nil {
			if !errors.Is(err, ErrBadInput) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if again := c.append(nil); !bytes.Equal(again, text) {
			t.Errorf("%q is read as %+v, which is written %q", text, c, again)
		}
		r := Range{Prefix: c.prefix}
		if err := c.resume(&r); err != nil {
			t.Errorf("%q does not resume its own scan: %v", text, err)
		}
		if err := r.check(); err != nil || len(r.Start) == 0 {
			t.Errorf("%q makes the range %+v: %v", text, r, err)
		}
	})
}
