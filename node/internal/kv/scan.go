package kv

import "strings"

// Items are the keys and their items at one log index. They stay as they are while
// the Machine goes on.
type Items struct {
	version
	index uint64
}

// Items returns the keys and their items as they are now, in constant time. It is a
// read as far as locks go.
func (m *Machine) Items() Items { return Items{m.items.view(), m.index} }

// Index is the log index that the items are of.
func (t Items) Index() uint64 { return t.index }

// Get returns a key's item. The value must not be changed.
func (t Items) Get(key []byte) (Item, bool) { return t.item(key) }

// Scan visits the keys that begin with prefix and are not before start, in byte
// order. It ends before it visits more than limit of them, or more than maxBytes
// of keys and values together, but visits one in any case. next is the first key
// that is left over; more says whether there is one. The values must not be
// changed.
func (t Items) Scan(prefix, start string, limit, maxBytes int, visit func(key string, it Item)) (next string, more bool) {
	visited := 0
	t.ascend(max(prefix, start), func(r rec) bool {
		key := r.key()
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		maxBytes -= r.size()
		if visited > 0 && (visited >= limit || maxBytes < 0) {
			next, more = strings.Clone(key), true // of a record that may go
			return false
		}
		visited++
		visit(key, r.item())
		return true
	})
	return next, more
}
