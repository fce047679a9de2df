package node

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// body is a write's JSON body. Fields that were not there are nil.
type body struct {
	key    *string
	value  *string
	base64 *string
}

// decodeBody reads an object of strings.
func decodeBody(data []byte, known ...string) (*body, error) {
	b := new(body)
	err := eachField(data, known, func(o *object, name string) error {
		s, err := o.text(name)
		*b.field(name) = &s
		return err
	})
	return b, err
}

func (b *body) field(name string) **string {
	switch name {
	case "key":
		return &b.key
	case "value":
		return &b.value
	}
	return &b.base64
}

func (b *body) needKey() error {
	if b.key == nil {
		return fmt.Errorf("key: %w: it is missing", ErrBadInput)
	}
	return checkKey([]byte(*b.key))
}

func (b *body) valueBytes() ([]byte, error) {
	switch {
	case b.value != nil && b.base64 != nil:
		return nil, fmt.Errorf("value_base64: %w: value is there too; send one of them", ErrBadInput)
	case b.value != nil:
		return []byte(*b.value), nil
	case b.base64 != nil:
		return fromBase64("value_base64", *b.base64)
	}
	return nil, fmt.Errorf("value: %w: it is missing", ErrBadInput)
}

func fromBase64(name, text string) ([]byte, error) {
	v, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: not base64: %w", name, ErrBadInput, err)
	}
	return v, nil
}

// appendField appends "name":"…", or "name_base64":"…" where the value is not
// UTF-8.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(append(b, '"'), name...)
	if !utf8.Valid(value) {
		b = append(b, `_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, value)
		return append(b, '"')
	}
	return appendJSONString(append(b, `":`...), value)
}

// appendJSONString appends s, which is UTF-8, as a JSON string. Most values need
// no escapes and are copied whole.
func appendJSONString(b, s []byte) []byte {
	b = append(b, '"')
	for {
		n := verbatim(s)
		b = append(b, s[:n]...)
		if n == len(s) {
			return append(b, '"')
		}
		switch c := s[n]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[n+1:]
	}
}

// verbatim is how many bytes s begins with that stand for themselves in a JSON string.
// It looks at eight of them at a time.
func verbatim(s []byte) (n int) {
	for ; n+8 <= len(s); n += 8 {
		const each = 0x0101010101010101
		w := binary.LittleEndian.Uint64(s[n:])
		quote, slash := w^each*'"', w^each*'\\' // a byte that is one of them is zero
		if ((w-each*' ')&^w|(quote-each)&^quote|(slash-each)&^slash)&(each<<7) != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}
