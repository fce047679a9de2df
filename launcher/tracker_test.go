package launcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// script feeds a tracker of three nodes, n1 leading in term 3, with things that
// happen at so many milliseconds, and collects the lines.
type script struct {
	t     *tracker
	start time.Time
	lines []string
	last  []Event
}

func newScript(ids ...string) *script {
	s := &script{t: newTracker(ids), start: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	for _, id := range ids {
		s.note(s.t.started(s.start, id))
		s.leads(0, id, "n1", 3)
	}
	s.t.ready("n1", 3)
	return s
}

func (s *script) at(ms int) time.Time { return s.start.Add(time.Duration(ms) * time.Millisecond) }

func (s *script) note(events []Event) {
	for _, e := range events {
		s.last = append(s.last, e)
		s.lines = append(s.lines, e.Message)
	}
}

// leads has node id report who leads.
func (s *script) leads(ms int, id, leader string, term uint64) {
	r := healthcheck.Report{ID: id, Term: term, Ready: leader != "", Primary: id == leader}
	r.Leader.ID = leader
	s.note(s.t.observed(s.at(ms), id, healthcheck.Observation{Up: true, Report: r}))
}

func (s *script) silent(ms int, id string) {
	s.note(s.t.observed(s.at(ms), id, healthcheck.Observation{Err: fmt.Errorf("timeout")}))
}

func (s *script) ends(ms int, id string, why asked, exit Exit) {
	s.note(s.t.ended(id, ended{at: s.at(ms), exit: exit, why: why, tail: []string{"last words"}}))
}

func (s *script) tick(ms int) { s.note(s.t.tick(s.at(ms))) }

var (
	sigkill = Exit{Code: -1, Signal: "SIGKILL"}
	code0   = Exit{}
	code1   = Exit{Code: 1}
)

// A leader that was elected while the start was being completed is no news after it.
func TestLeaderOfTheStartIsNoNews(t *testing.T) {
	t.Parallel()
	s := &script{t: newTracker([]string{"n1", "n2", "n3"}), start: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	for _, id := range []string{"n1", "n2", "n3"} {
		s.note(s.t.started(s.start, id))
		s.leads(0, id, "n1", 3)
	}
	for _, id := range []string{"n2", "n1", "n3"} {
		s.leads(100, id, "n2", 4)
	}
	s.t.ready("n1", 3)
	s.leads(200, "n2", "n2", 4)
	s.tick(5000)
	if len(s.lines) > 0 {
		t.Errorf("it says %q", s.lines)
	}
}

func TestTracker(t *testing.T) {
	t.Parallel()
	three := []string{"n1", "n2", "n3"}
	for _, tc := range []struct {
		name  string
		nodes []string
		play  func(s *script)
		want  []string
	}{
		{"nothing happens", three, func(s *script) {
			s.leads(100, "n1", "n1", 3)
			s.tick(5000)
		}, nil},
		{"the leader is killed", three, func(s *script) {
			s.ends(1000, "n1", askedKill, sigkill)
			s.leads(1038, "n3", "n3", 4)
			s.leads(1039, "n2", "n3", 4)
			s.tick(9000)
		}, []string{"n1 died (SIGKILL); n3 leads in term 4; no leader for 38 ms"}},
		{"its silence is seen before its end, and the new leader in between", three, func(s *script) {
			s.leads(900, "n1", "n1", 3)
			s.silent(1001, "n1")
			s.leads(1038, "n3", "n3", 4)
			s.ends(1040, "n1", askedKill, sigkill)
		}, []string{"n1 died (SIGKILL); n3 leads in term 4; no leader for 37 ms"}},
		{"the new leader is seen before anything else", three, func(s *script) {
			s.leads(1000, "n1", "n1", 3)
			s.leads(1020, "n3", "n3", 4)
			s.ends(1021, "n1", askedNothing, code1)
		}, []string{"n1 exited (code 1); n3 leads in term 4; no leader for less than 1 ms"}},
		{"the leader is stopped and hands over", three, func(s *script) {
			s.t.stopping("n1")
			s.leads(1000, "n1", "", 3)
			s.leads(1007, "n2", "n2", 4)
			s.tick(1050)
			s.ends(1060, "n1", askedStop, code0)
		}, []string{"n1 was stopped (code 0); n2 leads in term 4; no leader for 7 ms"}},
		{"and takes long to end", three, func(s *script) {
			s.t.stopping("n1")
			s.leads(1000, "n1", "", 3)
			s.leads(1007, "n2", "n2", 4)
			s.tick(1300)
			s.ends(3000, "n1", askedStop, code0)
		}, []string{"n1 is stopping; n2 leads in term 4; no leader for 7 ms", "n1 was stopped (code 0)"}},
		{"the leader is paused", three, func(s *script) {
			s.note(s.t.paused(s.at(1000), "n1"))
			s.leads(1001, "n1", "n1", 3) // was under way
			s.leads(1300, "n2", "n2", 5)
			s.note(s.t.resumed(s.at(2000), "n1"))
			s.leads(2001, "n1", "n1", 3) // it does not know yet
			s.leads(2010, "n1", "n2", 5)
		}, []string{"n1 was paused; n2 leads in term 5; no leader for 300 ms", "n1 runs again"}},
		{"the leader hangs, and nobody asked for it", three, func(s *script) {
			s.leads(900, "n1", "n1", 3)
			s.leads(1300, "n2", "n2", 4)
			s.tick(1400)
			s.silent(1450, "n1")
			s.tick(1550)
		}, []string{"n1 does not answer; n2 leads in term 4; no leader for 400 ms"}},
		{"the leader steps down and comes back", three, func(s *script) {
			s.leads(1000, "n1", "", 3)
			s.leads(1050, "n1", "n1", 3)
		}, []string{"n1 leads again in term 3; no leader for 50 ms"}},
		{"the leader is elected again", three, func(s *script) {
			s.leads(1000, "n1", "", 4)
			s.leads(1050, "n1", "n1", 5)
			s.tick(1300)
		}, []string{"n1 leads again in term 5; no leader for 50 ms"}},
		{"the election takes long", three, func(s *script) {
			s.ends(1000, "n1", askedNothing, sigkill)
			s.tick(1500)
			s.tick(2000)
			s.tick(2500)
			s.leads(3300, "n3", "n3", 6)
		}, []string{"n1 died (SIGKILL); no leader yet", "n3 leads in term 6; no leader for 2.3 s"}},
		{"a follower ends", three, func(s *script) {
			s.ends(1000, "n2", askedNothing, code1)
			s.tick(3000)
		}, []string{"n2 exited (code 1)"}},
		{"the majority is lost with the leader, and comes back", three, func(s *script) {
			s.ends(1000, "n2", askedKill, sigkill)
			s.ends(1100, "n1", askedKill, sigkill)
			s.tick(3000)
			s.note(s.t.started(s.at(4000), "n2"))
			s.leads(5100, "n3", "n3", 4)
		}, []string{
			"n2 died (SIGKILL)",
			"n1 died (SIGKILL)",
			"the majority is lost: 1 of 3 nodes run, 2 must; no write can succeed until one is started or resumed",
			"n2 was started",
			"the majority is back: 2 of 3 nodes run",
			"n3 leads in term 4; no leader for 4.0 s",
		}},
		{"the majority is lost while the leader lives", three, func(s *script) {
			s.ends(1000, "n2", askedKill, sigkill)
			s.note(s.t.paused(s.at(1100), "n3"))
			s.leads(1200, "n1", "", 3)
			s.tick(3000)
			s.note(s.t.resumed(s.at(4000), "n3"))
			s.leads(4200, "n1", "n1", 4)
		}, []string{
			"n2 died (SIGKILL)",
			"n3 was paused",
			"the majority is lost: 1 of 3 nodes run, 2 must; no write can succeed until one is started or resumed",
			"n1 stepped down; no leader yet",
			"n3 runs again",
			"the majority is back: 2 of 3 nodes run",
			"n1 leads again in term 4; no leader for 3.0 s",
		}},
		{"the killed leader is started before another leads", three, func(s *script) {
			s.ends(1000, "n1", askedKill, sigkill)
			s.note(s.t.started(s.at(1100), "n1"))
			s.leads(1700, "n3", "n3", 4)
		}, []string{
			"n1 died (SIGKILL); no leader yet",
			"n1 was started",
			"n3 leads in term 4; no leader for 700 ms",
		}},
		{"a single node", []string{"n1"}, func(s *script) {
			s.ends(1000, "n1", askedNothing, code1)
			s.note(s.t.started(s.at(2000), "n1"))
			s.leads(2500, "n1", "n1", 4)
			s.tick(2800)
		}, []string{
			"n1 exited (code 1)",
			"the majority is lost: 0 of 1 nodes run, 1 must; no write can succeed until one is started or resumed",
			"n1 was started",
			"the majority is back: 1 of 1 nodes run",
			"n1 leads again in term 4; no leader for 1.5 s",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newScript(tc.nodes...)
			tc.play(s)
			if got, want := strings.Join(s.lines, "\n"), strings.Join(tc.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestTrackerShowsLogsOnlyWhereNobodyAsked(t *testing.T) {
	t.Parallel()
	for why, want := range map[asked]int{askedNothing: 1, askedKill: 0, askedStop: 0} {
		for _, id := range []string{"n1", "n2"} { // the leader and a follower
			s := newScript("n1", "n2", "n3")
			s.ends(1000, id, why, code1)
			s.leads(1010, "n3", "n3", 4)
			if len(s.last) == 0 || len(s.last[0].Log) != want || (s.last[0].Start == id) != (want == 1) {
				t.Errorf("%s ended, asked %q: %+v", id, why, s.last)
			}
		}
	}
}

func TestLeaderEventHasItsParts(t *testing.T) {
	t.Parallel()
	s := newScript("n1", "n2", "n3")
	s.ends(1000, "n1", askedKill, sigkill)
	s.leads(1038, "n3", "n3", 4)
	if len(s.last) != 1 {
		t.Fatalf("%d events: %v", len(s.last), s.lines)
	}
	e := s.last[0]
	if e.Kind != EventLeader || e.From != "n1" || e.Leader != "n3" || e.Term != 4 || e.NoLeader != 38 || e.Exit == nil || *e.Exit != sigkill {
		t.Errorf("%+v", e)
	}
}
