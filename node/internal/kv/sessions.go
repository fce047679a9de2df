package kv

import "encoding/binary"

// session is what is known of one balancer's numbering.
type session struct {
	used  uint64 // cluster time when it was last used
	acked uint64 // of all numbers up to this one the answers have come
}

const sessionBytes = len(SessionID{})

// answerKey is where the answer to a number is kept; its first sessionBytes are
// where the session is.
func answerKey(id *SessionID, number uint64) string {
	var b [sessionBytes + 8]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[sessionBytes:], number)
	return string(b[:])
}

// session returns a session that is not over. That it is still in the table says
// nothing: the table is swept a little at a time.
func (m *Machine) session(key string) (session, bool) {
	s, ok := m.sessions.Get(key)
	return s, ok && !m.over(s)
}

func (m *Machine) over(s session) bool { return m.clock.now-s.used >= m.Limits().SessionTimeout }

// openSession opens a session; one that is open stays as it is.
func (m *Machine) openSession(id *SessionID) Status {
	key := string(id[:])
	if _, ok := m.session(key); ok {
		return StatusOK
	}
	if limit := m.Limits().MaxSessions; uint64(m.sessions.Len()) >= limit {
		if m.expireSessions(1); uint64(m.sessions.Len()) >= limit {
			return StatusFull
		}
	}
	m.dropSession(id)
	m.sessions.Set(key, session{used: m.clock.now})
	return StatusOK
}

// renewSession keeps a session alive and forgets the answers that have come.
func (m *Machine) renewSession(id *SessionID, acked uint64) Status {
	_, ok := m.touch(id, string(id[:]), acked)
	if !ok {
		return StatusSessionUnknown
	}
	return StatusOK
}

// touch is every use of a session.
func (m *Machine) touch(id *SessionID, key string, acked uint64) (session, bool) {
	s, ok := m.session(key)
	if !ok {
		return s, false
	}
	s.used = m.clock.now
	if acked > s.acked {
		m.forgetAnswers(id, s.acked, acked)
		s.acked = acked
	}
	m.sessions.Set(key, s)
	return s, true
}

// admit notes that a number of a session has come. The result is where its answer
// is kept, and StatusOK where the number may have one.
func (m *Machine) admit(id *Identity) (string, Status) {
	key := answerKey(&id.Session, id.Sequence)
	s, ok := m.touch(&id.Session, key[:sessionBytes], id.Acked)
	switch {
	case !ok:
		return "", StatusSessionUnknown
	case id.Sequence <= s.acked:
		return "", StatusSequenceAnswered
	case id.Sequence-s.acked > Window:
		return "", StatusBeyondWindow
	}
	return key, StatusOK
}

// forgetAnswers forgets the answers to the numbers after from, up to to. None is
// more than Window after what was acknowledged.
func (m *Machine) forgetAnswers(id *SessionID, from, to uint64) {
	for i := range min(to-from, Window) {
		m.answers.Delete(answerKey(id, from+i+1))
	}
}

// dropSession removes a session and its answers, and says how many entries of the
// tables that were.
func (m *Machine) dropSession(id *SessionID) int {
	s, ok := m.sessions.Delete(string(id[:]))
	if !ok {
		return 0
	}
	before := m.answers.Len()
	m.forgetAnswers(id, s.acked, ^uint64(0))
	return before - m.answers.Len() + 1
}

// expireSessions removes sessions that are over until about budget entries of the
// tables are gone. All sessions are looked at only when one may be over.
func (m *Machine) expireSessions(budget int) {
	if m.clock.now-m.idleSince < m.Limits().SessionTimeout {
		return
	}
	var gone []SessionID
	idle := m.clock.now
	m.sessions.Scan(func(key string, s session) bool {
		if m.over(s) {
			gone = append(gone, SessionID([]byte(key)))
		} else {
			idle = min(idle, s.used)
		}
		return true
	})
	for i := range gone {
		if budget <= 0 {
			return // and come again: idleSince is what it was
		}
		budget -= m.dropSession(&gone[i])
	}
	m.idleSince = idle
}
