package node

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// body is a write's JSON body. Fields that were not there are nil.
type body struct {
	key    *string
	value  *string
	base64 *string
}

// decodeBody reads an object of strings. It is stricter than encoding/json's
// decoding into a struct: names are compared exactly, and none may come twice,
// since two readers could then see two different writes.
func decodeBody(data []byte, known ...string) (*body, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("body: %w: not UTF-8; use value_base64 or a raw PUT for bytes", ErrBadInput)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("body: %w: want a JSON object with %s", ErrBadInput, strings.Join(known, ", "))
	}
	b := new(body)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, badJSON(err)
		}
		name := t.(string) // a name is a string, or Token has failed
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("body: %w: unknown field %q: want %s", ErrBadInput, name, strings.Join(known, ", "))
		}
		field := b.field(name)
		if *field != nil {
			return nil, fmt.Errorf("%s: %w: given twice", name, ErrBadInput)
		}
		if t, err = dec.Token(); err != nil {
			return nil, badJSON(err)
		}
		s, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("%s: %w: must be a string", name, ErrBadInput)
		}
		if strings.ContainsRune(s, utf8.RuneError) && !bytes.Contains(data, []byte("\uFFFD")) && !bytes.Contains(bytes.ToLower(data), []byte(`\ufffd`)) {
			return nil, fmt.Errorf("%s: %w: half of a surrogate pair (RFC 8259, 8.2)", name, ErrBadInput)
		}
		*field = &s
	}
	if _, err := dec.Token(); err != nil {
		return nil, badJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("body: %w: data after the JSON object", ErrBadInput)
	}
	return b, nil
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

func badJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("body: %w: the JSON ends too early", ErrBadInput)
	}
	return fmt.Errorf("body: %w: not JSON: %w", ErrBadInput, err)
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
		v, err := base64.StdEncoding.Strict().DecodeString(*b.base64)
		if err != nil {
			return nil, fmt.Errorf("value_base64: %w: not base64: %w", ErrBadInput, err)
		}
		return v, nil
	}
	return nil, fmt.Errorf("value: %w: it is missing", ErrBadInput)
}

// appendJSONString appends s, which is UTF-8, as a JSON string. Most values need
// no escapes and are copied whole.
func appendJSONString(b, s []byte) []byte {
	b = append(b, '"')
	start := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
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
	}
	return append(append(b, s[start:]...), '"')
}
