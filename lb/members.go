package lb

import "github.com/dengine/dengine/healthcheck"

// roster works out which backends there should be: those configured, always,
// and the members that dengine nodes report. Where a leader reports, the one
// with the highest term alone says who else belongs to the cluster, so that a
// node that lags behind cannot bring a removed member back. Where none does,
// nobody is dropped, and every member that anyone reports counts. Members
// without an HTTP or a health address are ignored.
func roster(configured, current []Backend, reports []healthcheck.Report) []Backend {
	var newest *healthcheck.Report
	for i, r := range reports {
		if r.Primary && len(r.Members) > 0 && (newest == nil || r.Term > newest.Term) {
			newest = &reports[i]
		}
	}
	out := append([]Backend(nil), configured...)
	add := func(be Backend) {
		if len(out) >= maxBackends || be.HTTP == "" || be.Health == "" {
			return
		}
		for _, one := range out {
			if one.HTTP == be.HTTP || one.Health == be.Health { // whatever the ids say
				return
			}
		}
		out = append(out, be)
	}
	addMembers := func(r healthcheck.Report) {
		for _, m := range r.Members {
			add(Backend{ID: m.ID, HTTP: m.HTTP, Health: m.Health})
		}
	}
	if newest != nil {
		addMembers(*newest)
		return out
	}
	for _, be := range current {
		add(be)
	}
	for _, r := range reports {
		addMembers(r)
	}
	return out
}
