package kv

import (
	"slices"

	"github.com/tidwall/btree"
)

// Item is a key's current value.
type Item struct {
	Value []byte // never changed in place: views share it
	// Rev is the revision of the command that wrote the value: it differs
	// between any two writes, also of different keys. It is what an ETag shows.
	Rev uint64
	// Writes counts the writes to the key since it was created.
	Writes uint64
}

// Status says what a command did.
type Status uint8

const (
	StatusOK           Status = iota
	StatusPrecondition        // the condition did not hold; nothing was changed
)

// Result is the answer to one command.
type Result struct {
	Status Status
	// Rev is the key's revision after a put, the revision of the delete itself
	// after a delete, and the current one (0: no such key) where the condition
	// did not hold.
	Rev    uint64
	Writes uint64 // writes to the key, this one included
	Found  bool   // the key was there before the command
}

// Machine is the state: all keys and how far the log has been applied.
type Machine struct {
	items btree.Map[string, Item]
	rev   uint64 // commands that were applied, no-ops not counted
	index uint64 // log index of the last applied entry
	term  uint64 // and its term
}

// Index is the log index of the last applied entry.
func (m *Machine) Index() uint64 { return m.index }

// Term is the term of the last applied entry.
func (m *Machine) Term() uint64 { return m.term }

// Len is the number of keys.
func (m *Machine) Len() int { return m.items.Len() }

// Get returns a key's item. The value must not be changed.
func (m *Machine) Get(key string) (Item, bool) { return m.items.Get(key) }

// Advance notes an entry that holds no command, such as a configuration.
func (m *Machine) Advance(index, term uint64) { m.index, m.term = index, term }

// Apply executes the commands of one log entry, in order, and appends their
// results to dst. It keeps copies of what it stores.
func (m *Machine) Apply(index, term uint64, cmds []Command, dst []Result) []Result {
	m.Advance(index, term)
	for i := range cmds {
		dst = append(dst, m.apply(&cmds[i]))
	}
	return dst
}

func (m *Machine) apply(c *Command) Result {
	if c.Op == OpNoop {
		return Result{}
	}
	m.rev++
	old, found := m.items.Get(string(c.Key))
	if !c.Cond.holds(old, found) {
		return Result{Status: StatusPrecondition, Rev: old.Rev, Writes: old.Writes, Found: found}
	}
	res := Result{Rev: m.rev, Writes: old.Writes + 1, Found: found}
	if c.Op == OpDelete {
		m.items.Delete(string(c.Key))
		return res
	}
	m.items.Set(string(c.Key), Item{Value: slices.Clone(c.Value), Rev: m.rev, Writes: res.Writes})
	return res
}

// holds decides a condition by strong comparison (RFC 9110, section 13.1).
func (c Condition) holds(it Item, found bool) bool {
	switch c.Kind {
	case CondExists:
		return found
	case CondAbsent:
		return !found
	case CondMatch:
		return found && slices.Contains(c.Revs, it.Rev)
	case CondNoMatch:
		return !found || !slices.Contains(c.Revs, it.Rev)
	}
	return true
}

// View returns the state as it is now, in constant time. The Machine may go on.
// It is a write as far as locks go: the tree is marked as shared.
func (m *Machine) View() *View {
	return &View{items: m.items.Copy(), rev: m.rev, index: m.index, term: m.term}
}

// View is the state at one log index.
type View struct {
	items *btree.Map[string, Item]
	rev   uint64
	index uint64
	term  uint64
}

// Index is the log index that the view is of.
func (v *View) Index() uint64 { return v.index }
