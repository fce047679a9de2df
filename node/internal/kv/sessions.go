package kv

// session is what is known of one balancer's numbering.
type session struct {
	views uint64 // how many had been taken of the machine when this was made: later ones share it
	used  uint64 // cluster time when it was last used
	answers
}

const sessionBytes = len(SessionID{})

// session returns a session that is not over. That it is still in the table says
// nothing: the table is swept a little at a time. It must not be changed.
func (m *Machine) session(id *SessionID) (*session, bool) {
	s, ok := m.sessions.Get(string(id[:]))
	return s, ok && !m.over(s)
}

func (m *Machine) over(s *session) bool { return m.clock.now-s.used >= m.Limits().SessionTimeout }

// openSession opens a session; one that is open stays as it is.
func (m *Machine) openSession(id *SessionID) Status {
	if _, ok := m.session(id); ok {
		return StatusOK
	}
	if limit := m.Limits().MaxSessions; uint64(m.sessions.Len()) >= limit {
		if m.expireSessions(1); uint64(m.sessions.Len()) >= limit {
			return StatusFull
		}
	}
	m.dropSession(id)
	m.sessions.Set(string(id[:]), &session{views: m.views, used: m.clock.now})
	return StatusOK
}

// renewSession keeps a session alive and forgets the answers that have come.
func (m *Machine) renewSession(id *SessionID, acked uint64) Status {
	s, ok := m.touch(id, acked)
	if !ok {
		return StatusSessionUnknown
	}
	if s.count == 0 { // it is idle
		s.resize(0)
	}
	return StatusOK
}

// touch is every use of a session. What it returns may be changed until the next
// view is taken.
func (m *Machine) touch(id *SessionID, acked uint64) (*session, bool) {
	s, ok := m.session(id)
	if !ok {
		return nil, false
	}
	if s.views != m.views {
		s = &session{views: m.views, answers: s.clone()}
		m.sessions.Set(string(id[:]), s)
	}
	s.used = m.clock.now
	m.answers -= s.acknowledge(acked)
	return s, true
}

// admit notes that a number of a session has come. With StatusOK the number has an
// answer in the session, or may have one.
func (m *Machine) admit(id *Identity) (*session, Status) {
	s, ok := m.touch(&id.Session, id.Acked)
	switch {
	case !ok:
		return nil, StatusSessionUnknown
	case id.Sequence <= s.acked:
		return nil, StatusSequenceAnswered
	case id.Sequence-s.acked > Window:
		return nil, StatusBeyondWindow
	}
	return s, StatusOK
}

// dropSession removes a session and its answers, and says how many entries of the
// state that were.
func (m *Machine) dropSession(id *SessionID) int {
	s, ok := m.sessions.Delete(string(id[:]))
	if !ok {
		return 0
	}
	m.answers -= s.count
	return s.count + 1
}

// expireSessions removes sessions that are over until about budget entries of the
// state are gone. All sessions are looked at only when one may be over.
func (m *Machine) expireSessions(budget int) {
	if m.clock.now-m.idleSince < m.Limits().SessionTimeout {
		return
	}
	var gone []SessionID
	idle := m.clock.now
	m.sessions.Scan(func(key string, s *session) bool {
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
