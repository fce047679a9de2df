package kv

import "github.com/tidwall/btree"

// record is what is kept of a write with an idempotency key.
type record struct {
	name        string // scope and key
	at          uint64 // cluster time of the write
	fingerprint Fingerprint
	answer      Result
}

const (
	scopeBytes = len(Scope{})
	// recordOverhead is what a record takes in memory beside the key itself, in
	// round figures: a bound on bytes means nothing if short keys are free.
	recordOverhead = 256
)

// keyTable is the writes with idempotency keys, oldest first.
type keyTable struct {
	records btree.Map[uint64, record] // by the revision that the write got
	revs    map[string]uint64         // where a name is in records
	bytes   uint64                    // of all records
}

func (r *record) bytes() uint64 { return uint64(len(r.name)) + recordOverhead }

func (t *keyTable) get(name []byte) (record, bool) {
	rev, ok := t.revs[string(name)]
	if !ok {
		return record{}, false
	}
	return t.records.Get(rev)
}

// put adds the newest record, in place of an older one of the same name.
func (t *keyTable) put(rev uint64, r record) {
	if t.revs == nil {
		t.revs = make(map[string]uint64)
	}
	if old, ok := t.revs[r.name]; ok {
		t.remove(old)
	}
	t.records.Set(rev, r)
	t.revs[r.name] = rev
	t.bytes += r.bytes()
}

func (t *keyTable) remove(rev uint64) {
	r, _ := t.records.Delete(rev)
	delete(t.revs, r.name)
	t.bytes -= r.bytes()
}

// keyName is what an identity's key is known by.
func keyName(id *Identity) []byte {
	return append(append(make([]byte, 0, scopeBytes+MaxIDKeyBytes), id.Scope[:]...), id.Key...)
}

// repeated returns the record of a key's name, unless the key is new again.
func (m *Machine) repeated(name []byte) (record, bool) {
	r, ok := m.keys.get(name)
	return r, ok && !m.stale(&r)
}

// stale says that a record's time is over. That it is still in the table says
// nothing: the table is swept a little at a time.
func (m *Machine) stale(r *record) bool { return m.clock.now-r.at >= m.Limits().KeyWindow }

// expireKeys removes at most budget records whose time is over.
func (m *Machine) expireKeys(budget int) {
	for ; budget > 0 && m.keys.records.Len() > 0; budget-- {
		rev, r, _ := m.keys.records.Min()
		if !m.stale(&r) {
			return
		}
		m.keys.remove(rev)
	}
}

// roomFor says whether another record fits, and removes what need not be kept to
// make it so.
func (m *Machine) roomFor(name []byte) bool {
	l := m.Limits()
	need := uint64(len(name)) + recordOverhead
	for uint64(m.keys.records.Len()) >= l.MaxKeys || m.keys.bytes+need > l.MaxKeyBytes {
		before := m.keys.records.Len()
		if m.expireKeys(1); m.keys.records.Len() == before {
			return false
		}
	}
	return true
}
