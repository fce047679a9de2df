package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
	"github.com/hashicorp/raft"
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

// A single writer writes a, then b, then a, …: in one state a is never less than b
// and never more than one ahead. Between the two a read has many other keys to pass.
func TestOneState(t *testing.T) {
	t.Parallel()
	f := filled(500, []byte("v"))
	keys := [][]byte{[]byte("a")}
	for i := range 500 {
		keys = append(keys, fmt.Appendf(nil, "k%06d", i))
	}
	keys = append(keys, []byte("z"))
	check := func(what string, a, b []byte) {
		if x, y := number(a), number(b); x < y || y < x-1 {
			t.Errorf("%s: %d and %d were never there together", what, x, y)
		}
	}
	var readers sync.WaitGroup
	var done atomic.Bool
	readers.Go(func() {
		values := make([]Value, len(keys))
		for !done.Load() && !t.Failed() {
			f.getMany(keys, values)
			check("getMany", values[0].Value, values[len(values)-1].Value)
		}
	})
	readers.Go(func() {
		var p Page
		for !done.Load() && !t.Failed() {
			if f.scan("", "", MaxReadKeys, &p); len(p.Items) == len(keys) {
				check("scan", p.Items[0].Value, p.Items[len(p.Items)-1].Value)
			}
		}
	})
	for i := range 10_000 {
		e := kv.AppendEntry(nil, 1, 0, 1)
		e = kv.AppendCommand(e, &kv.Command{Op: kv.OpPut, Key: []byte([]string{"a", "z"}[i%2]), Value: fmt.Append(nil, i/2+1)})
		f.Apply(&raft.Log{Index: uint64(i + 2), Term: 1, Type: raft.LogCommand, Data: e})
	}
	done.Store(true)
	readers.Wait()
}

func number(b []byte) int {
	i, _ := strconv.Atoi(string(b)) // a key that is not there yet: 0
	return i
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
	keys := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	for _, value := range []string{"", "plain", "\x01\x01\x01", "\xff\xff\xff", strings.Repeat("v", 1000)} {
		v := Value{Found: true, Value: []byte(value)}
		values := []Value{v, {}, v}
		whole, err := appendValues(nil, keys, values, maxAnswerBytes)
		if err != nil || !json.Valid(whole) {
			t.Errorf("%.10q: %s, %v", value, whole, err)
		}
		if b, err := appendValues(nil, keys, values, len(whole)); err != nil || !bytes.Equal(b, whole) {
			t.Errorf("%.10q: %d bytes do not fit %d: %v", value, len(whole), len(whole), err)
		}
		for most := range len(whole) {
			if _, err := appendValues(nil, keys, values, most); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%.10q: %d bytes fit %d: %v", value, len(whole), most, err)
			}
		}
	}
}

// BenchmarkScan is a page of 1000 items: what it takes to find them, for which no
// write waits, and what its JSON takes after that.
func BenchmarkScan(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 256)
	f := filled(100_000, value)
	for i := range f.machine.Len() { // no two items lie side by side as they do after one entry
		key := fmt.Appendf(nil, "k%06d", i*7919%100_000)
		f.machine.Apply(uint64(i+2), 1, &kv.Entry{Term: 1, Commands: []kv.Command{{Op: kv.OpPut, Key: key, Value: value}}}, nil)
	}
	p := Page{Items: make([]Item, 0, MaxReadKeys)}
	b.Run("find", func(b *testing.B) {
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
		keys, values := make([][]byte, MaxReadKeys), make([]Value, MaxReadKeys)
		for i := range keys {
			keys[i] = fmt.Appendf(nil, "k%06d", i*7919%100_000)
		}
		b.ReportAllocs()
		for b.Loop() {
			f.getMany(keys, values)
		}
	})
}
