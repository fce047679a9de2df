package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// filled is a state machine with keys k000000, k000001, … of one value.
func filled(keys int, value []byte) *fsm {
	f := newFSM(func(err error) { panic(err) })
	e := kv.Entry{Term: 1, Commands: make([]kv.Command, keys)}
	for i := range e.Commands {
		e.Commands[i] = kv.Command{Op: kv.OpPut, Key: fmt.Appendf(nil, "k%06d", i), Value: value}
	}
	f.machine.Apply(1, 1, &e, nil)
	return f
}

// A page ends before its keys and values are more than 4 MiB.
func TestPageIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	f := filled(20, make([]byte, 1<<20-len("k000000")))
	var p Page
	f.scan("", "", MaxReadKeys, &p)
	if len(p.Items) != 4 || string(p.Next) != "k000004" {
		t.Errorf("4 MiB are %d items, then %q", len(p.Items), p.Next)
	}
	// The state may be looked at again: then only the second look counts.
	f.scan("k00001", "k000018", MaxReadKeys, &p)
	if len(p.Items) != 2 || p.Items[0].Key != "k000018" || p.Next != nil {
		t.Errorf("a second look gives %d items, then %q", len(p.Items), p.Next)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	answer := func(keys int, value []byte) ([]byte, error) {
		values := make([]Value, keys)
		for i := range values {
			values[i] = Value{Found: true, Value: value}
		}
		return appendValues(nil, make([][]byte, keys), values)
	}
	const part = maxAnswerBytes / 100
	for _, c := range []struct {
		what  string
		keys  int
		value []byte
		fits  bool
	}{
		{"well below", 98, bytes.Repeat([]byte("v"), part), true},
		{"values that are too much", 101, bytes.Repeat([]byte("v"), part), false},
		{"escapes that are too much", 18, bytes.Repeat([]byte{1}, part), false},
	} {
		b, err := answer(c.keys, c.value)
		switch {
		case c.fits && (err != nil || len(b) > maxAnswerBytes || !json.Valid(b)):
			t.Errorf("%s: %d bytes, %v", c.what, len(b), err)
		case !c.fits && !errors.Is(err, ErrTooLarge):
			t.Errorf("%s: %d bytes, %v", c.what, len(b), err)
		}
	}
}

// BenchmarkScan is a page of 1000 items: how long the state machine's lock is held
// for it, which holds up writes, and what its JSON takes after that.
func BenchmarkScan(b *testing.B) {
	f := filled(100_000, make([]byte, 256))
	for i := range f.machine.Len() { // no two items lie side by side as they do after one entry
		key := fmt.Appendf(nil, "k%06d", i*7919%100_000)
		f.machine.Apply(uint64(i+2), 1, &kv.Entry{Term: 1, Commands: []kv.Command{{Op: kv.OpPut, Key: key, Value: make([]byte, 256)}}}, nil)
	}
	p := Page{Items: make([]Item, 0, MaxReadKeys)}
	b.Run("lock", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f.scan("k", fmt.Sprintf("k%06d", i*1009%99_000), MaxReadKeys, &p)
		}
		if len(p.Items) != MaxReadKeys {
			b.Fatalf("%d items", len(p.Items))
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			appendPage(nil, []byte("k"), &p)
		}
	})
	b.Run("getmany", func(b *testing.B) {
		keys, values := make([]string, MaxReadKeys), make([]Value, MaxReadKeys)
		for i := range keys {
			keys[i] = fmt.Sprintf("k%06d", i*7919%100_000)
		}
		b.ReportAllocs()
		for b.Loop() {
			f.getMany(keys, values)
		}
	})
}
