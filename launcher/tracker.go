package launcher

import (
	"fmt"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

const (
	// causePatience is how long the line about a new leader waits for the
	// news of what became of the old one: the two arrive by different ways.
	causePatience = 200 * time.Millisecond
	// leaderPatience is how long the end of the leader waits to be told
	// together with who leads next.
	leaderPatience = time.Second
)

// view is what is known of one node.
type view struct {
	id      string
	running bool
	paused  bool
	up      bool // answers its health port
	report  healthcheck.Report
	err     error // why it is not up
	// seenPrimary is when it last said that it takes writes, since when it
	// has said so in its term.
	seenPrimary  time.Time
	primarySince time.Time
	stopping     bool   // was asked to stop
	end          *ended // of its last run, while it does not run
}

func (v *view) primary() bool {
	return v.running && !v.paused && v.up && v.report.Primary
}

// tracker turns what is seen of nodes into the few lines that matter. It
// decides only: it has no clock and does no I/O. Every method gets the time of
// what it is told, and returns what is to be printed.
type tracker struct {
	nodes []*view
	told  bool // the start is complete: changes are news

	leader   string // the last one known
	term     uint64
	lostAt   time.Time // since when nobody takes writes; zero while somebody does
	noticed  time.Time // when that was noticed
	changeAt time.Time // since when the next leader's line waits for its cause
	saidNone bool      // "no leader yet" was printed
	held     *Event    // what befell the leader, to be told with the change
	majority bool
}

func newTracker(ids []string) *tracker {
	t := &tracker{majority: true}
	for _, id := range ids {
		t.nodes = append(t.nodes, &view{id: id})
	}
	return t
}

func (t *tracker) node(id string) *view {
	for _, n := range t.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// ready ends the start: from now on changes against this leader are told, or against
// one that came after it and is known already.
func (t *tracker) ready(leader string, term uint64) {
	t.told, t.leader, t.term = true, leader, term
	if n := t.best(); n != nil {
		t.leader, t.term = n.id, n.report.Term
	}
}

func (t *tracker) started(now time.Time, id string) []Event {
	*t.node(id) = view{id: id, running: true}
	if !t.told {
		return nil
	}
	var out []Event
	if t.held != nil && t.held.Node == id { // its end is told before its start
		out = t.sayNone(now)
	}
	out = append(out, Event{Time: now, Kind: EventStart, Node: id, Message: id + " was started"})
	return append(out, t.count(now)...)
}

func (t *tracker) ended(id string, end ended) []Event {
	n := t.node(id)
	*n = view{id: id, end: &end, seenPrimary: n.seenPrimary}
	if !t.told {
		return nil
	}
	out := t.befell(exitEvent(id, end), end.at)
	return append(append(out, t.count(end.at)...), t.settle(end.at)...)
}

// befell takes what happened to a node. What happened to the leader is held
// back, to be told together with who leads next.
func (t *tracker) befell(e Event, at time.Time) []Event {
	if e.Node != t.leader {
		return []Event{e}
	}
	t.lose(at, at)
	if t.saidNone {
		return []Event{e}
	}
	t.held = &e
	return nil
}

// exitEvent is the news of a process's end.
func exitEvent(name string, end ended) Event {
	e := Event{Time: end.at, Kind: EventExit, Node: name, Message: exitPhrase(name, end), Exit: &end.exit}
	if end.why == askedNothing {
		e.Log, e.Start = end.tail, name
	}
	return e
}

func (t *tracker) paused(now time.Time, id string) []Event {
	t.node(id).paused = true
	if !t.told {
		return nil
	}
	out := t.befell(Event{Time: now, Kind: EventPause, Node: id, Message: id + " was paused"}, now)
	return append(out, t.count(now)...)
}

func (t *tracker) resumed(now time.Time, id string) []Event {
	n := t.node(id)
	// What it said before the pause is old: it must say it again.
	n.paused, n.up, n.report = false, false, healthcheck.Report{}
	if !t.told {
		return nil
	}
	out := []Event{{Time: now, Kind: EventResume, Node: id, Message: id + " runs again"}}
	return append(out, t.count(now)...)
}

// stopping says that a node was asked to stop: it may hand over before it ends.
func (t *tracker) stopping(id string) { t.node(id).stopping = true }

func (t *tracker) observed(now time.Time, id string, o healthcheck.Observation) []Event {
	n := t.node(id)
	if !n.running || n.paused {
		return nil // an answer that was under way
	}
	was := n.primary()
	sameTerm := n.report.Term == o.Report.Term
	n.up, n.report, n.err = o.Up, o.Report, o.Err
	switch is := n.primary(); {
	case is && (!was || !sameTerm):
		n.primarySince, n.seenPrimary = now, now
	case is:
		n.seenPrimary = now
	case was && id == t.leader && o.Up:
		t.lose(now, now)
	case was && id == t.leader:
		t.lose(n.seenPrimary, now)
	}
	return t.settle(now)
}

// tick lets what waits for more news be told when none comes.
func (t *tracker) tick(now time.Time) []Event { return t.settle(now) }

// lose notes that the leader takes no more writes since at. A process that has
// ended is better evidence than its silence, which was noticed first.
func (t *tracker) lose(at, now time.Time) {
	switch {
	case t.lostAt.IsZero():
		t.lostAt, t.noticed = at, now
	case now.Sub(t.noticed) < causePatience && at.After(t.lostAt):
		t.lostAt = minTime(at, t.noticed)
	}
}

// settle compares who leads now with who led.
func (t *tracker) settle(now time.Time) []Event {
	if !t.told {
		return nil
	}
	best := t.best()
	if best == nil {
		t.changeAt = time.Time{}
		if t.lostAt.IsZero() || t.saidNone || now.Before(t.lostAt.Add(leaderPatience)) {
			return nil
		}
		return t.sayNone(now)
	}
	if best.id == t.leader && best.report.Term == t.term {
		return t.sayAgain(best)
	}
	if t.changeAt.IsZero() {
		t.changeAt = now
	}
	cause, sure := t.cause()
	if !sure && now.Before(t.changeAt.Add(causePatience)) {
		return nil
	}
	return t.sayChange(best, cause)
}

// best is the node that takes writes in the highest term, if that is no older
// than the last leader's.
func (t *tracker) best() *view {
	var best *view
	for _, n := range t.nodes {
		if n.primary() && n.report.Term >= t.term && (best == nil || n.report.Term > best.report.Term) {
			best = n
		}
	}
	return best
}

// cause says what became of the last leader, and whether that is certain
// enough to be told.
func (t *tracker) cause() (string, bool) {
	old := t.node(t.leader)
	switch {
	case t.held != nil:
		return t.held.Message, true
	case t.saidNone:
		return "", true // the line before said it
	case old.stopping:
		return old.id + " is stopping", false
	case !old.up:
		return old.id + " does not answer", false
	case !old.report.Primary:
		return old.id + " stepped down", true
	}
	return old.id + " was overtaken", false
}

func (t *tracker) sayNone(now time.Time) []Event {
	e := Event{Time: now, Kind: EventNoLeader, From: t.leader, Term: t.term}
	if t.held != nil {
		e = *t.held
		e.Time, e.Kind = now, EventNoLeader
		e.From, e.Term = t.leader, t.term
	}
	cause, _ := t.cause()
	e.Message = cause + "; no leader yet"
	t.held, t.saidNone = nil, true
	return []Event{e}
}

// sayAgain tells that the leader was away for a moment, in one and the same term.
func (t *tracker) sayAgain(n *view) []Event {
	if t.lostAt.IsZero() {
		return nil
	}
	away := max(0, n.primarySince.Sub(t.lostAt))
	t.settled(n)
	return []Event{{
		Time: n.primarySince, Kind: EventLeader, From: n.id, Leader: n.id, Term: t.term, NoLeader: millis(away),
		Message: fmt.Sprintf("%s leads again in term %d; no leader for %s", n.id, t.term, span(away)),
	}}
}

func (t *tracker) sayChange(n *view, cause string) []Event {
	if t.lostAt.IsZero() {
		t.lostAt = t.node(t.leader).seenPrimary
	}
	away := max(0, n.primarySince.Sub(t.lostAt))
	var e Event
	if t.held != nil {
		e = *t.held
	}
	e.Time, e.Kind, e.From, e.Leader, e.Term, e.NoLeader = n.primarySince, EventLeader, t.leader, n.id, n.report.Term, millis(away)
	e.Message = fmt.Sprintf("%s leads in term %d; no leader for %s", n.id, n.report.Term, span(away))
	switch {
	case n.id == t.leader && t.held == nil:
		e.Message = fmt.Sprintf("%s leads again in term %d; no leader for %s", n.id, n.report.Term, span(away))
	case cause != "":
		e.Message = cause + "; " + e.Message
	}
	t.settled(n)
	return []Event{e}
}

func (t *tracker) settled(n *view) {
	t.leader, t.term = n.id, n.report.Term
	t.lostAt, t.noticed, t.changeAt = time.Time{}, time.Time{}, time.Time{}
	t.saidNone, t.held = false, nil
}

// count tells when too few nodes run for a majority, and when enough do again.
func (t *tracker) count(now time.Time) []Event {
	running, need := 0, len(t.nodes)/2+1
	for _, n := range t.nodes {
		if n.running && !n.paused {
			running++
		}
	}
	ok := running >= need
	if !t.told || ok == t.majority {
		return nil
	}
	t.majority = ok
	if ok {
		return []Event{{Time: now, Kind: EventMajorityBack, Message: fmt.Sprintf("the majority is back: %d of %d nodes run", running, len(t.nodes))}}
	}
	var out []Event
	if t.held != nil { // no other leader can follow now
		out = append(out, *t.held)
		t.held, t.saidNone = nil, true
	}
	return append(out, Event{Time: now, Kind: EventMajorityLost, Message: fmt.Sprintf(
		"the majority is lost: %d of %d nodes run, %d must; no write can succeed until one is started or resumed", running, len(t.nodes), need)})
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
