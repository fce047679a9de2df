package lb

import (
	"slices"

	"github.com/dengine/dengine/healthcheck"
)

// sighting is what the node at a backend's addresses reports.
type sighting struct {
	at     Backend
	report healthcheck.Report
}

// roster works out which backends there should be: those configured, always,
// and the members that dengine nodes report. Where a leader reports, the one
// with the highest term alone says who else belongs to the cluster, so that a
// node that lags behind cannot bring a removed member back. Where none does,
// nobody is dropped, and every member that anyone reports counts. Members
// without an HTTP or a health address are ignored. One that shares an address
// with a backend is that backend, and so is one whose id the node there gives as
// its own: the same host may have two names.
func roster(configured, current []Backend, seen []sighting) []Backend {
	var newest *healthcheck.Report
	for i, s := range seen {
		if s.report.Primary && len(s.report.Members) > 0 && (newest == nil || s.report.Term > newest.Term) {
			newest = &seen[i].report
		}
	}
	out := append([]Backend(nil), configured...)
	add := func(be Backend) {
		if len(out) >= maxBackends || be.HTTP == "" || be.Health == "" {
			return
		}
		if slices.ContainsFunc(out, func(one Backend) bool { return one.HTTP == be.HTTP || one.Health == be.Health }) {
			return // whatever the ids say
		}
		if be.ID != "" && slices.ContainsFunc(seen, func(s sighting) bool { return s.report.ID == be.ID && slices.Contains(out, s.at) }) {
			return
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
	for _, s := range seen {
		addMembers(s.report)
	}
	return out
}
