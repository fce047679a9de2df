package loop

// Mail is what other goroutines leave for a loop's.
type Mail[T any] struct {
	of   *Loop
	came []T
	last []T // what was taken last
}

// NewMail returns a Mail of a loop, which has to Take it in each turn.
func NewMail[T any](l *Loop) *Mail[T] { return &Mail[T]{of: l} }

// Leave leaves something, and says whether the loop will still look at it. Any goroutine
// may call it.
func (m *Mail[T]) Leave(v T) bool {
	l := m.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	m.came = append(m.came, v)
	l.poller.Wake()
	return true
}

// Take returns what was left since the last time, good until the next one.
func (m *Mail[T]) Take() []T {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	clear(m.last)
	m.came, m.last = m.last[:0], m.came
	return m.last
}
