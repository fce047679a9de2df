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

// Status says what a command did. Only with StatusOK it has changed a key.
type Status uint8

const (
	StatusOK               Status                 = iota
	StatusPrecondition                            // the condition did not hold
	StatusFull                                    // no room for another session or idempotency key
	StatusKeyReused                               // the idempotency key belongs to another request
	StatusSessionUnknown                          // the session is over, or never was
	StatusSequenceAnswered                        // the number's answer was acknowledged, and is forgotten
	StatusBeyondWindow                            // the number is more than Window after what was acknowledged
	storedEnd              = StatusSessionUnknown // those before it are kept as answers
)

// Result is the answer to one command. Its fields are in an order that keeps it
// small: up to Window of them are kept for each session.
type Result struct {
	// Rev is the key's revision after a put, the revision of the delete itself
	// after a delete, and the current one (0: no such key) where the condition
	// did not hold.
	Rev      uint64
	Writes   uint64 // writes to the key, this one included
	Index    uint64 // log index of the command that was decided so
	Status   Status
	Found    bool // the key was there before the command
	Replayed bool // it was decided before: this is the answer that it got then
}

// Machine is the state: all keys, the identities of writes, and how far the log
// has been applied. The zero value is the state before the first entry.
type Machine struct {
	numbers
	items    tree
	sessions btree.Map[string, *session] // by id
	answers  int                         // of all sessions
	keys     keyTable

	// views counts those that were taken. What was made before the last of them may
	// be read by others, and is copied before it is changed: see touch.
	views uint64

	// idleSince is not later than the last use of any session. It only saves
	// work, and is not part of the state.
	idleSince uint64
}

// numbers are the parts of the state that are copied as they are.
type numbers struct {
	index uint64 // log index of the last applied entry
	term  uint64 // and its term
	// rev counts the puts and deletes that were decided, also where the condition
	// did not hold; not repeats, refusals, marks and the commands of sessions.
	rev    uint64
	clock  clock
	limits Limits // zero before the first mark
}

// Index is the log index of the last applied entry.
func (m *Machine) Index() uint64 { return m.index }

// Term is the term of the last applied entry.
func (m *Machine) Term() uint64 { return m.term }

// Len is the number of keys.
func (m *Machine) Len() int { return m.items.count }

// Usage is how much is kept of the identities of writes, what is over and not
// swept yet included.
type Usage struct {
	Sessions int
	Answers  int    // of all sessions
	Keys     int    // idempotency keys
	KeyBytes uint64 // of memory that they take with their records
}

// Usage tells how full the tables are.
func (m *Machine) Usage() Usage {
	return Usage{Sessions: m.sessions.Len(), Answers: m.answers, Keys: m.keys.records.Len(), KeyBytes: m.keys.bytes}
}

// Get returns a key's item. The value must not be changed.
func (m *Machine) Get(key []byte) (Item, bool) { return m.items.item(key) }

// Advance notes an entry that holds no command, such as a configuration.
func (m *Machine) Advance(index, term uint64) { m.index, m.term = index, term }

// sweepPerEntry is how many expired answers and keys one entry removes, so that
// none takes long however many expire at once.
const sweepPerEntry = 1024

// Apply executes the commands of the entry that was logged at an index and in a
// term, in order, and appends their results to dst. It keeps copies of what it
// stores.
func (m *Machine) Apply(index, term uint64, e *Entry, dst []Result) []Result {
	m.Advance(index, term)
	m.clock.tick(term, e)
	m.expireSessions(sweepPerEntry)
	m.expireKeys(sweepPerEntry)
	for i := range e.Commands {
		dst = append(dst, m.apply(&e.Commands[i]))
	}
	return dst
}

func (m *Machine) apply(c *Command) Result {
	res := Result{Index: m.index}
	switch c.Op {
	case OpMark:
		m.mark(c.Limits)
	case OpOpen:
		res.Status = m.openSession(&c.ID.Session)
	case OpRenew:
		res.Status = m.renewSession(&c.ID.Session, c.ID.Acked)
	case OpClose:
		m.dropSession(&c.ID.Session)
	default:
		return m.once(c)
	}
	return res
}

// write executes a put or a delete.
func (m *Machine) write(c *Command) Result {
	m.rev++
	old, found := m.items.item(c.Key)
	if !c.Cond.holds(old, found) {
		return Result{Status: StatusPrecondition, Rev: old.Rev, Writes: old.Writes, Found: found, Index: m.index}
	}
	res := Result{Rev: m.rev, Writes: old.Writes + 1, Found: found, Index: m.index}
	if c.Op == OpDelete {
		m.items.delete(c.Key)
		return res
	}
	m.items.set(newRec(c.Key, c.Value, m.rev, res.Writes))
	return res
}

func (c Condition) hasRevs() bool { return c.Kind == CondMatch || c.Kind == CondNoMatch }

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
// It is a write as far as locks go; Items is not.
func (m *Machine) View() *View {
	m.views++
	return &View{
		numbers: m.numbers, items: m.items.view(),
		sessions: m.sessions.Copy(), answers: m.answers, records: m.keys.records.Copy(),
	}
}

// View is the state at one log index.
type View struct {
	numbers
	items    version
	sessions *btree.Map[string, *session]
	answers  int
	records  *btree.Map[uint64, record]
}

// Index is the log index that the view is of.
func (v *View) Index() uint64 { return v.index }
