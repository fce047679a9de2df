package node

import (
	"bytes"
	"context"
	"fmt"

	"github.com/dengine/dengine/node/internal/kv"
)

// MaxReadKeys is how many keys one Scan or GetMany may give.
const MaxReadKeys = 1000

const (
	defaultPageKeys = 100
	maxPageBytes    = 4 << 20 // of keys and values in one page
)

// Range is keys that follow each other in byte order.
type Range struct {
	Prefix []byte // of all the keys; empty: any
	Start  []byte // the first one, or where it would be; empty: the first with Prefix. It begins with Prefix.
	Limit  int    // at most so many, up to MaxReadKeys; 0: 100
}

// Page is the keys at the beginning of a Range, all from one state.
type Page struct {
	Items []Item // in byte order of their keys
	Next  []byte // Start of the next page; nil where the range ends with this one
	Index uint64 // log index of the state that was read: as MinIndex of the next page, it keeps that from being an older state's
}

// Item is a key and its value. The value's bytes must not be changed.
type Item struct {
	Key    string
	Value  []byte
	ETag   ETag
	Writes uint64 // writes to the key since it was created
}

// Scan reads the first keys of a range, as many as its limit and 4 MiB of keys
// and values allow, but at least one where there is any. The range is wrong with
// ErrBadInput or ErrTooLarge; otherwise errors are as those of Get.
func (n *Node) Scan(ctx context.Context, r Range, o ReadOptions) (Page, error) {
	if err := r.check(); err != nil {
		return Page{}, err
	}
	limit := r.Limit
	if limit == 0 {
		limit = defaultPageKeys
	}
	prefix, start := string(r.Prefix), string(r.Start)
	p := Page{Items: make([]Item, 0, limit)}
	if err := n.read(ctx, o, func(f *fsm) { f.scan(prefix, start, limit, &p) }); err != nil {
		return Page{}, err
	}
	return p, nil
}

func (r *Range) check() error {
	switch {
	case len(r.Prefix) > MaxKeyBytes:
		return fmt.Errorf("prefix: %w: %d bytes, and keys have at most %d", ErrTooLarge, len(r.Prefix), MaxKeyBytes)
	case len(r.Start) > MaxKeyBytes:
		return fmt.Errorf("start: %w: %d bytes, and keys have at most %d", ErrTooLarge, len(r.Start), MaxKeyBytes)
	case len(r.Start) > 0 && !bytes.HasPrefix(r.Start, r.Prefix):
		return fmt.Errorf("start: %w: %q does not begin with the prefix, %q", ErrBadInput, r.Start, r.Prefix)
	case r.Limit < 0 || r.Limit > MaxReadKeys:
		return fmt.Errorf("limit: %w: %d: must be at least 1 and at most %d", ErrBadInput, r.Limit, MaxReadKeys)
	}
	return nil
}

// scan collects a page. Its keys and values are those in memory, which are never
// changed.
func (f *fsm) scan(prefix, start string, limit int, p *Page) {
	items := f.items()
	p.Items, p.Next, p.Index = p.Items[:0], nil, items.Index()
	next, more := items.Scan(prefix, start, limit, maxPageBytes, func(key string, it kv.Item) {
		p.Items = append(p.Items, Item{Key: key, Value: it.Value, ETag: ETag(it.Rev), Writes: it.Writes})
	})
	if more {
		p.Next = []byte(next)
	}
}

// GetMany reads keys, at most MaxReadKeys, from one state: the values, one for each
// key in their order, and the log index of that state. Errors are as those of Get.
func (n *Node) GetMany(ctx context.Context, keys [][]byte, o ReadOptions) ([]Value, uint64, error) {
	if err := checkKeys(keys); err != nil {
		return nil, 0, err
	}
	values := make([]Value, len(keys))
	var index uint64
	if err := n.read(ctx, o, func(f *fsm) { index = f.getMany(keys, values) }); err != nil {
		return nil, 0, err
	}
	return values, index, nil
}

func checkKeys(keys [][]byte) error {
	switch {
	case len(keys) == 0:
		return fmt.Errorf("keys: %w: there are none", ErrBadInput)
	case len(keys) > MaxReadKeys:
		return fmt.Errorf("keys: %w: more than %d", ErrTooLarge, MaxReadKeys)
	}
	for i, key := range keys {
		if err := checkKey(key); err != nil {
			return fmt.Errorf("number %d of the keys: %w", i+1, err)
		}
	}
	return nil
}

func (f *fsm) getMany(keys [][]byte, values []Value) (index uint64) {
	items := f.items()
	index = items.Index()
	for i, key := range keys {
		it, ok := items.Get(key)
		values[i] = Value{Value: it.Value, ETag: ETag(it.Rev), Writes: it.Writes, Found: ok, Index: index}
	}
	return index
}
