package kv

// once executes a put or a delete, unless one of its identities says that it was
// decided before: then that answer is given again. What is decided is kept under
// every identity that the write has.
func (m *Machine) once(c *Command) Result {
	if c.ID.Sequence == 0 {
		return m.oncePerKey(c)
	}
	s, status := m.admit(&c.ID)
	if status != StatusOK {
		return m.refuseNumber(c, status)
	}
	if answer, ok := s.get(c.ID.Sequence); ok {
		return answer
	}
	res := m.oncePerKey(c)
	s.put(c.ID.Sequence, res)
	m.answers++
	return res
}

// refuseNumber answers a write whose session does not take its number. It is not
// executed; but where it has a key too, and the answer is known by that, this is
// the answer.
func (m *Machine) refuseNumber(c *Command, status Status) Result {
	if len(c.ID.Key) > 0 {
		if r, ok := m.repeated(keyName(&c.ID)); ok && r.fingerprint == c.ID.Fingerprint {
			r.answer.Replayed = true
			return r.answer
		}
	}
	return Result{Status: status, Index: m.index}
}

func (m *Machine) oncePerKey(c *Command) Result {
	if len(c.ID.Key) == 0 {
		return m.write(c)
	}
	name := keyName(&c.ID)
	if r, ok := m.repeated(name); ok {
		if r.fingerprint != c.ID.Fingerprint {
			return Result{Status: StatusKeyReused, Index: m.index}
		}
		r.answer.Replayed = true
		return r.answer
	}
	if !m.roomFor(name) {
		return Result{Status: StatusFull, Index: m.index}
	}
	res := m.write(c)
	m.keys.put(m.rev, record{name: string(name), at: m.clock.now, fingerprint: c.ID.Fingerprint, answer: res})
	return res
}
