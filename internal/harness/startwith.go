package harness

import "slices"

// StartWith is Start with more flags, this once.
func (p *Process) StartWith(flags ...string) {
	p.t.Helper()
	usual := p.args
	p.args = slices.Concat(usual, flags)
	p.Start()
	p.args = usual
}
