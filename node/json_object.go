package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// object reads a JSON object, field by field. It is stricter than encoding/json's
// decoding into a struct: names are compared exactly, and none may come twice,
// since two readers could then see two different requests.
type object struct {
	data     []byte
	dec      *json.Decoder
	replaced *bool // data holds U+FFFD by name; nil: nobody has asked yet
}

// eachField calls read with the name of each field of the object that data is; read
// takes the field's value. Only known names are taken.
func eachField(data []byte, known []string, read func(o *object, name string) error) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("body: %w: not UTF-8; bytes go in a field whose name ends in _base64", ErrBadInput)
	}
	o := &object{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	if t, err := o.dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("body: %w: want a JSON object with %s", ErrBadInput, strings.Join(known, ", "))
	}
	seen := make([]string, 0, len(known))
	for o.dec.More() {
		t, err := o.dec.Token()
		if err != nil {
			return badJSON(err)
		}
		name := t.(string) // a name is a string, or Token has failed
		if !slices.Contains(known, name) {
			return fmt.Errorf("body: %w: unknown field %q: want %s", ErrBadInput, name, strings.Join(known, ", "))
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("%s: %w: given twice", name, ErrBadInput)
		}
		seen = append(seen, name)
		if err := read(o, name); err != nil {
			return err
		}
	}
	return o.end()
}

func (o *object) end() error {
	if _, err := o.dec.Token(); err != nil {
		return badJSON(err)
	}
	if _, err := o.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("body: %w: data after the JSON object", ErrBadInput)
	}
	return nil
}

// text takes a value that must be a string.
func (o *object) text(name string) (string, error) {
	t, err := o.dec.Token()
	if err != nil {
		return "", badJSON(err)
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%s: %w: must be a string", name, ErrBadInput)
	}
	if strings.ContainsRune(s, utf8.RuneError) && !o.namesReplacement() {
		return "", fmt.Errorf("%s: %w: half of a surrogate pair (RFC 8259, 8.2)", name, ErrBadInput)
	}
	return s, nil
}

// texts takes a value that must be an array of strings, and gives each to add.
func (o *object) texts(name string, add func(string) error) error {
	t, err := o.dec.Token()
	if err != nil {
		return badJSON(err)
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%s: %w: must be a list of strings", name, ErrBadInput)
	}
	for o.dec.More() {
		s, err := o.text(name)
		if err == nil {
			err = add(s)
		}
		if err != nil {
			return err
		}
	}
	if _, err := o.dec.Token(); err != nil {
		return badJSON(err)
	}
	return nil
}

// namesReplacement says whether the data itself holds U+FFFD, which the decoder also
// makes of half a surrogate pair. It looks once: a list may ask for each string.
func (o *object) namesReplacement() bool {
	if o.replaced == nil {
		found := bytes.Contains(o.data, []byte("\uFFFD")) || bytes.Contains(bytes.ToLower(o.data), []byte(`\ufffd`))
		o.replaced = &found
	}
	return *o.replaced
}

func badJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("body: %w: the JSON ends too early", ErrBadInput)
	}
	return fmt.Errorf("body: %w: not JSON: %w", ErrBadInput, err)
}
