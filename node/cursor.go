package node

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// cursor is where a scan over HTTP goes on. To clients it is opaque.
type cursor struct {
	index  uint64 // log index of the state that the page before was read from
	prefix []byte // of the scan; next begins with it
	next   []byte // the key that the next page begins at
}

const cursorFormat = 1

// cursorText is base64 of: format, index, how many bytes of next are the prefix,
// next. The numbers are as in log entries.
var cursorText = base64.RawURLEncoding

func (c *cursor) append(b []byte) []byte {
	raw := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(c.next))
	raw = append(raw, cursorFormat)
	raw = binary.AppendUvarint(raw, c.index)
	raw = binary.AppendUvarint(raw, uint64(len(c.prefix)))
	return cursorText.AppendEncode(b, append(raw, c.next...))
}

// parseCursor reads what append wrote, and nothing else.
func parseCursor(text []byte) (cursor, error) {
	wrong := fmt.Errorf("cursor: %w: it is not one that GET /kv gave: leave it out to begin at the first page", ErrBadInput)
	raw, err := cursorText.AppendDecode(nil, text)
	if err != nil || len(raw) == 0 || raw[0] != cursorFormat {
		return cursor{}, wrong
	}
	raw = raw[1:]
	index, n := binary.Uvarint(raw)
	if n <= 0 {
		return cursor{}, wrong
	}
	raw = raw[n:]
	size, n := binary.Uvarint(raw)
	if n <= 0 {
		return cursor{}, wrong
	}
	next := raw[n:]
	if len(next) == 0 || len(next) > MaxKeyBytes || size > uint64(len(next)) {
		return cursor{}, wrong
	}
	c := cursor{index: index, prefix: next[:size:size], next: next}
	if !bytes.Equal(c.append(nil), text) { // numbers written another way, line ends, bits behind the end
		return cursor{}, wrong
	}
	return c, nil
}

// resume makes a range begin where the page before has ended.
func (c *cursor) resume(r *Range) error {
	switch {
	case !bytes.Equal(r.Prefix, c.prefix):
		return fmt.Errorf("cursor: %w: it is of a scan with the prefix %q, not %q", ErrBadInput, c.prefix, r.Prefix)
	case bytes.Compare(r.Start, c.next) > 0:
		return fmt.Errorf("cursor: %w: it is of a scan that began before the start, %q", ErrBadInput, r.Start)
	}
	r.Start = c.next
	return nil
}
