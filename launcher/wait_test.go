package launcher

import (
	"errors"
	"strings"
	"testing"

	"github.com/dengine/dengine/healthcheck"
)

func TestAgreement(t *testing.T) {
	t.Parallel()
	// A cluster of two followers and a leader, to be spoilt.
	fresh := func() []view {
		var out []view
		for _, id := range []string{"n1", "n2", "n3"} {
			r := healthcheck.Report{ID: id, Role: healthcheck.RoleFollower, Term: 3, Ready: true, Primary: id == "n2"}
			r.Leader.ID = "n2"
			out = append(out, view{id: id, running: true, up: true, report: r})
		}
		return out
	}
	for name, tc := range map[string]struct {
		spoil   func(n []view)
		missing string
	}{
		"all agree":          {func([]view) {}, ""},
		"one does not run":   {func(n []view) { n[1].running = false }, "n2 does not run"},
		"one is silent":      {func(n []view) { n[0].up = false }, "n1 has not answered"},
		"one refuses":        {func(n []view) { n[0].up, n[0].err = false, errors.New("connection refused") }, "n1 does not answer its health port: connection refused"},
		"one is not ready":   {func(n []view) { n[2].report.Ready, n[2].report.Reason = false, "disk" }, "n3 is not ready (follower in term 3): disk"},
		"one knows none":     {func(n []view) { n[2].report.Leader.ID = "" }, "n3 knows no leader"},
		"two leaders":        {func(n []view) { n[2].report.Leader.ID = "n3" }, "n1 follows n2 in term 3, n3 follows n3 in term 3"},
		"two terms":          {func(n []view) { n[2].report.Term = 4 }, "n3 follows n2 in term 4"},
		"leader not primary": {func(n []view) { n[1].report.Primary = false }, "n2 leads but does not take writes yet"},
		"leader is paused":   {func(n []view) { n[1].paused = true }, "n2 leads but does not take writes yet"},
	} {
		nodes := fresh()
		tc.spoil(nodes)
		leader, term, missing := agreement(nodes)
		if tc.missing == "" && (missing != "" || leader != "n2" || term != 3) || !strings.Contains(missing, tc.missing) {
			t.Errorf("%s: %q in term %d, missing %q", name, leader, term, missing)
		}
	}
}
