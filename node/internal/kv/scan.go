package kv

import "strings"

// Scan visits the keys that begin with prefix and are not before start, in byte
// order. It ends before it visits more than limit of them, or more than maxBytes
// of keys and values together, but visits one in any case. next is the first key
// that is left over; more says whether there is one. The values must not be
// changed.
func (m *Machine) Scan(prefix, start string, limit, maxBytes int, visit func(key string, it Item)) (next string, more bool) {
	visited := 0
	m.items.Ascend(max(prefix, start), func(key string, it Item) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		maxBytes -= len(key) + len(it.Value)
		if visited > 0 && (visited >= limit || maxBytes < 0) {
			next, more = key, true
			return false
		}
		visited++
		visit(key, it)
		return true
	})
	return next, more
}
