package edge

// Conns is how many connections are open.
func (q *Quick) Conns() int64 { return q.Listener.(*limited).open.Load() } //nolint:forcetypeassert // tests make no others
