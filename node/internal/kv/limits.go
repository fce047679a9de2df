package kv

import "encoding/binary"

// Window is how many numbers a session may be ahead of what it has acknowledged.
const Window = 1024

// Limits bound what is kept of the identities of writes. They come with the mark
// of each term, from its leader's settings, and are part of the state: nodes with
// other settings decide the same.
type Limits struct {
	MaxSessions    uint64
	SessionTimeout uint64 // ns of the cluster clock since a session was last used
	MaxKeys        uint64 // idempotency keys
	MaxKeyBytes    uint64 // what they take together, as KeyBytes counts
	KeyWindow      uint64 // ns of the cluster clock that a key is kept
}

// DefaultLimits hold before the first mark, and are a node's defaults.
func DefaultLimits() Limits {
	const second = 1e9
	return Limits{
		MaxSessions: 256, SessionTimeout: 60 * second,
		MaxKeys: 1e6, MaxKeyBytes: 256 << 20, KeyWindow: 600 * second,
	}
}

// fields are the limits in the order of their encoding.
func (l *Limits) fields() [5]*uint64 {
	return [5]*uint64{&l.MaxSessions, &l.SessionTimeout, &l.MaxKeys, &l.MaxKeyBytes, &l.KeyWindow}
}

func (l *Limits) appendTo(b []byte) []byte {
	for _, p := range l.fields() {
		b = binary.AppendUvarint(b, *p)
	}
	return b
}

// Limits are those that hold now.
func (m *Machine) Limits() Limits {
	if m.limits == (Limits{}) {
		return DefaultLimits()
	}
	return m.limits
}

// mark takes over the limits of a new leader. A session that is over by the old
// limits is gone for good: a longer timeout must not bring back one whose end has
// been told.
func (m *Machine) mark(l Limits) {
	if l.SessionTimeout > m.Limits().SessionTimeout {
		m.expireSessions(m.sessions.Len() * (Window + 1))
	}
	m.limits = l
}
