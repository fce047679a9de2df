package lb

import (
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// What follows an attempt is the promise that writes are not doubled, case by case.
func TestDecide(t *testing.T) {
	t.Parallel()
	answered := func(status int, m mark) attempt {
		return attempt{end: endAnswered, sent: true, status: status, mark: m}
	}
	all := situation{whole: true, others: true, time: true}
	with := func(c class, a attempt, change ...func(*situation)) situation {
		s := all
		s.class, s.attempt = c, a
		for _, f := range change {
			f(&s)
		}
		return s
	}
	alone := func(s *situation) { s.others = false }
	late := func(s *situation) { s.time = false }
	streamed := func(s *situation) { s.whole = false }
	unready := func(s *situation) { s.attempt.unready = true }
	waited := func(s *situation) { s.waited = true }
	numbered := func(s *situation) { s.identity = true }
	doubted := func(s *situation) { s.identity, s.doubt = true, true }
	echoed := func(s *situation) { s.attempt.echoes = true }
	broke, timedOut := attempt{end: endBroken, sent: true}, attempt{end: endTimedOut, sent: true}
	expired := attempt{end: endAnswered, sent: true, status: 409, mark: markUnknown, expired: true}

	for name, c := range map[string]struct {
		in   situation
		want verdict
	}{
		"write, 200":                          {with(classWrite, answered(200, markNone)), verdictAnswer},
		"write, 500":                          {with(classWrite, answered(500, markNone)), verdictAnswer},
		"write, foreign 503":                  {with(classWrite, answered(503, markNone)), verdictAnswer},
		"write, 503 unknown":                  {with(classWrite, answered(503, markUnknown)), verdictAnswer},
		"write, 504 unknown":                  {with(classWrite, answered(504, markUnknown)), verdictAnswer},
		"write, 412 not applied":              {with(classWrite, answered(412, markNotApplied)), verdictAnswer},
		"write, 503 not applied, hint":        {with(classWrite, answered(503, markNotApplied)), verdictElsewhere},
		"write, 503 not applied":              {with(classWrite, answered(503, markNotApplied), alone), verdictHold},
		"write, 503 not applied, late":        {with(classWrite, answered(503, markNotApplied), alone, late), verdictAnswer},
		"write, 503 not applied, streamed":    {with(classWrite, answered(503, markNotApplied), streamed), verdictAnswer},
		"write, refused":                      {with(classWrite, attempt{end: endUnreachable}, alone), verdictHold},
		"write, refused, another":             {with(classWrite, attempt{end: endUnreachable}), verdictElsewhere},
		"write, refused, late":                {with(classWrite, attempt{end: endUnreachable}, late), verdictFail},
		"write, refused before it streamed":   {with(classWrite, attempt{end: endUnreachable}, alone), verdictHold},
		"write, broke before a byte":          {with(classWrite, attempt{end: endBroken}, alone), verdictHold},
		"write, stale before a byte":          {with(classWrite, attempt{end: endBroken, reused: true}), verdictAgain},
		"write, broke after a byte":           {with(classWrite, attempt{end: endBroken, sent: true}), verdictFail},
		"write, stale after a byte":           {with(classWrite, attempt{end: endBroken, sent: true, reused: true}), verdictFail},
		"write, timed out":                    {with(classWrite, attempt{end: endTimedOut, sent: true}), verdictFail},
		"write, client left":                  {with(classWrite, attempt{end: endClientLeft}), verdictFail},
		"read, 200":                           {with(classRead, answered(200, markNone)), verdictAnswer},
		"read, 404":                           {with(classRead, answered(404, markNone)), verdictAnswer},
		"read, 502":                           {with(classRead, answered(502, markNone)), verdictAnswer},
		"read, 503":                           {with(classRead, answered(503, markNone)), verdictElsewhere},
		"read, 503 by all":                    {with(classRead, answered(503, markNone), alone), verdictAnswer},
		"read, 503 by all, for the moment":    {with(classRead, answered(503, markNone), alone, unready), verdictHold},
		"read, 503, late":                     {with(classRead, answered(503, markNone), late), verdictAnswer},
		"read, refused":                       {with(classRead, attempt{end: endUnreachable}), verdictElsewhere},
		"read, refused by all":                {with(classRead, attempt{end: endUnreachable}, alone), verdictHold},
		"read, stale":                         {with(classRead, attempt{end: endBroken, sent: true, reused: true}), verdictAgain},
		"read, broke":                         {with(classRead, attempt{end: endBroken, sent: true}), verdictElsewhere},
		"read, broke with all":                {with(classRead, broke, alone), verdictHold},
		"read, broke with all, late":          {with(classRead, broke, alone, late), verdictFail},
		"read, broke with all, a second time": {with(classRead, broke, alone, waited), verdictFail},
		"read, timed out":                     {with(classRead, attempt{end: endTimedOut, sent: true}), verdictElsewhere},
		"read, timed out with all":            {with(classRead, attempt{end: endTimedOut, sent: true}, alone), verdictHold},
		"read, timed out, late":               {with(classRead, attempt{end: endTimedOut, sent: true}, late), verdictFail},
		"read, body streamed, broke":          {with(classRead, attempt{end: endBroken, sent: true}, streamed), verdictFail},
		"read, body streamed, 503":            {with(classRead, answered(503, markNone), streamed), verdictAnswer},
		"read, client left":                   {with(classRead, attempt{end: endClientLeft, sent: true}), verdictFail},
		"write, client left in a sent stream": {with(classWrite, attempt{end: endClientLeft, sent: true}, streamed), verdictFail},

		"numbered, 200":                              {with(classWrite, answered(200, markNone), numbered, echoed), verdictAnswer},
		"numbered, 412":                              {with(classWrite, answered(412, markNotApplied), numbered, echoed), verdictAnswer},
		"numbered, broke":                            {with(classWrite, broke, numbered), verdictReplay},
		"numbered, broke, a hint":                    {with(classWrite, broke, numbered), verdictReplay},
		"numbered, broke, stale":                     {with(classWrite, attempt{end: endBroken, sent: true, reused: true}, numbered), verdictReplay},
		"numbered, broke, late":                      {with(classWrite, broke, numbered, late), verdictFail},
		"numbered, broke, streamed":                  {with(classWrite, broke, numbered, streamed), verdictFail},
		"numbered, timed out":                        {with(classWrite, timedOut, numbered), verdictReplay},
		"numbered, 504 unknown":                      {with(classWrite, answered(504, markUnknown), numbered), verdictReplay},
		"numbered, 503 unknown":                      {with(classWrite, answered(503, markUnknown), numbered), verdictReplay},
		"numbered, 504 unknown, late":                {with(classWrite, answered(504, markUnknown), numbered, late), verdictAnswer},
		"numbered, 409 unknown":                      {with(classWrite, answered(409, markUnknown), numbered), verdictAnswer},
		"numbered, 503 not applied":                  {with(classWrite, answered(503, markNotApplied), numbered, alone), verdictHold},
		"numbered, 503 not applied, hint":            {with(classWrite, answered(503, markNotApplied), numbered), verdictElsewhere},
		"numbered, refused":                          {with(classWrite, attempt{end: endUnreachable}, numbered, alone), verdictHold},
		"numbered, session expired":                  {with(classWrite, expired, numbered, alone), verdictHold},
		"numbered, session expired, late":            {with(classWrite, expired, numbered, alone, late), verdictFail},
		"in doubt, 200":                              {with(classWrite, answered(200, markNone), doubted, echoed), verdictAnswer},
		"in doubt, 412":                              {with(classWrite, answered(412, markNotApplied), doubted, echoed), verdictAnswer},
		"in doubt, 200 that speaks of no number":     {with(classWrite, answered(200, markNone), doubted), verdictAnswer},
		"in doubt, 413 that speaks of no number":     {with(classWrite, answered(413, markNotApplied), doubted), verdictAnswer},
		"in doubt, 503 not applied":                  {with(classWrite, answered(503, markNotApplied), doubted, alone), verdictReplay},
		"in doubt, 503 not applied, hint":            {with(classWrite, answered(503, markNotApplied), doubted), verdictElsewhere},
		"in doubt, 503 not applied, late":            {with(classWrite, answered(503, markNotApplied), doubted, late), verdictFail},
		"in doubt, 503 not applied under its number": {with(classWrite, answered(503, markNotApplied), doubted, echoed, alone), verdictAnswer},
		"in doubt, 504 unknown":                      {with(classWrite, answered(504, markUnknown), doubted, alone), verdictReplay},
		"in doubt, refused":                          {with(classWrite, attempt{end: endUnreachable}, doubted, alone), verdictReplay},
		"in doubt, refused, late":                    {with(classWrite, attempt{end: endUnreachable}, doubted, late), verdictFail},
		"in doubt, broke":                            {with(classWrite, broke, doubted), verdictReplay},
		"in doubt, stale before a byte":              {with(classWrite, attempt{end: endBroken, reused: true}, doubted), verdictReplay},
		"in doubt, session expired":                  {with(classWrite, expired, doubted, alone), verdictFail},
	} {
		if got := decide(c.in); got != c.want {
			t.Errorf("%s: verdict %d, want %d", name, got, c.want)
		}
	}
}

// No situation at all lets a write that may have been executed be sent again,
// but under its number, nor ends its doubt but by an answer to that.
func TestDecideNeverDoublesAWrite(t *testing.T) {
	t.Parallel()
	everySituation(func(s situation) {
		a := s.attempt
		notNow := a.end == endAnswered && (a.mark == markNotApplied || a.expired || a.echoes) || !a.sent // this sending did nothing, or all is known
		before := s.doubt && !(a.end == endAnswered && a.echoes)
		v := decide(s)
		switch v {
		case verdictAnswer, verdictFail:
		case verdictReplay:
			if !s.identity || !s.whole || !s.time || a.expired {
				t.Fatalf("%+v: replayed", s)
			}
		default:
			if notNow && !before {
				break
			}
			if v != verdictElsewhere || !s.identity || !s.others || a.expired { // others keep identities, where it is in doubt
				t.Fatalf("%+v: verdict %d sends it again", s, v)
			}
		}
		if a.echoes && v != verdictAnswer {
			t.Fatalf("%+v: verdict %d asks again for what was decided", s, v)
		}
		if v == verdictAnswer && a.refuses() && before {
			t.Fatalf("%+v: a write in doubt is refused", s)
		}
		if !s.inDoubt() && (before || !notNow && a.uncertain()) {
			t.Fatalf("%+v: the doubt is gone", s)
		}
	})
}

// everySituation calls visit with all that can follow a sending of a write.
func everySituation(visit func(situation)) {
	bits := 0
	flag := func() bool { b := bits&1 == 1; bits >>= 1; return b }
	for end := endAnswered; end <= endFull; end++ {
		for _, m := range []mark{markNone, markNotApplied, markUnknown} {
			for _, status := range []int{200, 409, 500, 502, 503, 504} {
				for i := range 1 << 11 {
					bits = i
					s := situation{class: classWrite, attempt: attempt{end: end, status: status, mark: m, sent: flag(), reused: flag()}}
					s.whole, s.others, s.time, s.waited = flag(), flag(), flag(), flag()
					s.identity, s.doubt = flag(), flag()
					if end == endAnswered { // or there is nothing to say so
						s.attempt.sent = true
						s.attempt.unready, s.attempt.echoes, s.attempt.expired = flag(), flag(), flag()
						s.attempt.echoes = s.attempt.echoes && s.identity && !s.attempt.expired
						s.attempt.expired = s.attempt.expired && s.identity && status == 409 && m == markUnknown
					}
					visit(s)
				}
			}
		}
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	up := func(http string, term uint64, primary bool) Node {
		return Node{HTTP: http, Up: true, Ready: true, Primary: primary, Term: term, backend: &backend{}}
	}
	down := func(n Node) Node { n.Up = false; return n }
	suspect := func(n Node) Node { n.Suspect = true; return n }
	lagging := func(n Node) Node { n.Ready = false; return n }
	for name, c := range map[string]struct {
		nodes    []Node
		previous string
		leader   int
		readers  []int
	}{
		"none":                       {nil, "", -1, nil},
		"one leads":                  {[]Node{up("a", 1, false), up("b", 1, true)}, "", 1, []int{0, 1}},
		"the higher term":            {[]Node{up("a", 3, true), up("b", 4, true), up("c", 2, true)}, "a", 1, []int{1}},
		"a follower's higher term":   {[]Node{up("a", 3, true), up("b", 9, false)}, "", 0, []int{0, 1}},
		"no terms: the same stays":   {[]Node{up("a", 0, true), up("b", 0, true)}, "b", 1, []int{0, 1}},
		"no terms: the first":        {[]Node{up("a", 0, true), up("b", 0, true)}, "", 0, []int{0, 1}},
		"a leader that is down":      {[]Node{down(up("a", 5, true)), up("b", 4, true)}, "a", 1, []int{1}},
		"a leader in doubt":          {[]Node{suspect(up("a", 5, true)), up("b", 5, false)}, "a", -1, []int{1}},
		"a leader that is not ready": {[]Node{lagging(up("a", 5, true)), up("b", 5, false)}, "", 0, []int{1}},
	} {
		v := newView(c.nodes, &View{Nodes: []Node{{HTTP: c.previous}}})
		if v.Leader != c.leader {
			t.Errorf("%s: leader %d, want %d", name, v.Leader, c.leader)
		}
		if len(v.Readers) != len(c.readers) {
			t.Errorf("%s: readers %v, want %v", name, v.Readers, c.readers)
			continue
		}
		for i := range c.readers {
			if v.Readers[i] != c.readers[i] {
				t.Errorf("%s: readers %v, want %v", name, v.Readers, c.readers)
			}
		}
	}
}

// A leader of an older term than one that led has been replaced, and only has
// not noticed yet. Services that start anew, all of them, may begin with a lower
// term.
func TestViewForgetsNoTerm(t *testing.T) {
	t.Parallel()
	node := func(http string, term uint64, up, primary bool) Node {
		return Node{HTTP: http, Up: up, Ready: true, Primary: primary, Term: term, backend: &backend{}}
	}
	old := newView([]Node{node("a", 4, true, true), node("b", 5, true, true)}, nil)
	if old.Leader != 1 || old.Term != 5 {
		t.Fatalf("leader %d of term %d", old.Leader, old.Term)
	}
	for name, c := range map[string]struct {
		nodes  []Node
		leader int
	}{
		"the newer one steps down":  {[]Node{node("a", 4, true, true), node("b", 5, true, false)}, -1},
		"another of the newer term": {[]Node{node("a", 4, true, true), node("b", 5, true, false), node("c", 5, true, true)}, 2},
		"the older one catches up":  {[]Node{node("a", 6, true, true), node("b", 5, true, false)}, 0},
		"nobody knows that term":    {[]Node{node("a", 4, true, true), node("b", 5, false, false)}, 0},
	} {
		if v := newView(c.nodes, old); v.Leader != c.leader {
			t.Errorf("%s: leader %d, want %d", name, v.Leader, c.leader)
		}
	}
}

// A leader that has just been elected gets the writes before it claims them, but
// only one that is certainly newer than any so far.
func TestViewTakesALeaderAtItsElection(t *testing.T) {
	t.Parallel()
	a, b := &backend{}, &backend{}
	node := func(be *backend, role healthcheck.Role, term uint64, primary bool) Node {
		return Node{Up: true, Ready: true, Identities: true, Role: role, Term: term, Primary: primary, backend: be}
	}
	follower, leader := healthcheck.RoleFollower, healthcheck.RoleLeader
	before := newView([]Node{node(a, leader, 5, true), node(b, follower, 5, false)}, nil)
	elected := newView([]Node{node(a, follower, 5, false), node(b, leader, 6, false)}, before)
	claimed := newView([]Node{node(a, follower, 6, false), node(b, leader, 6, true)}, elected)
	for name, c := range map[string]struct {
		v     *View
		want  *backend
		young bool
	}{
		"before":          {before, a, false},
		"elected":         {elected, b, true},
		"claimed":         {claimed, b, false},
		"elected, still":  {newView([]Node{node(a, follower, 6, false), node(b, leader, 6, false)}, elected), b, true},
		"stepped down":    {newView([]Node{node(a, follower, 6, false), node(b, follower, 6, false)}, elected), nil, false},
		"lost its lease":  {newView([]Node{node(a, follower, 6, false), node(b, leader, 6, false)}, claimed), nil, false},
		"an older one":    {newView([]Node{node(a, leader, 4, false), node(b, leader, 6, true)}, elected), b, false},
		"the first ever":  {newView([]Node{node(a, leader, 5, false), node(b, follower, 5, false)}, newView(nil, nil)), nil, false},
		"a newer one yet": {newView([]Node{node(a, leader, 7, false), node(b, leader, 6, true)}, elected), a, true},
	} {
		if c.v.leader() != c.want || c.v.young != c.young {
			t.Errorf("%s: leader %d, young %v", name, c.v.Leader, c.v.young)
		}
	}
	if sameRoutes(elected, claimed) {
		t.Error("writes without a number would not hear of the leader's claim")
	}
}

func TestReaderGoesRoundAndSkipsTheTried(t *testing.T) {
	t.Parallel()
	var nodes []Node
	for range 3 {
		nodes = append(nodes, Node{Up: true, Ready: true, backend: &backend{}})
	}
	v := newView(nodes, nil)
	for turn := range uint64(6) {
		if be := v.reader(turn, 0, nil); be != nodes[turn%3].backend {
			t.Errorf("turn %d", turn)
		}
	}
	tried := []*backend{nodes[0].backend, nodes[1].backend}
	for turn := range uint64(3) {
		if be := v.reader(turn, 0, tried); be != nodes[2].backend {
			t.Errorf("turn %d with two tried", turn)
		}
	}
	if v.reader(0, 0, append(tried, nodes[2].backend)) != nil {
		t.Error("all were tried")
	}
}

// However the View changes between a decision and the next sending: what is in
// doubt goes to nobody who keeps no identities.
func TestAim(t *testing.T) {
	t.Parallel()
	keeper, other := &backend{}, &backend{}
	v := newView([]Node{{Up: true, Identities: true, backend: keeper}, {Up: true, backend: other}}, nil)
	for _, c := range []struct {
		x    exchange
		be   *backend
		want *backend
	}{
		{exchange{numbered: true}, keeper, keeper},
		{exchange{numbered: true}, other, other},
		{exchange{numbered: true, doubt: true}, keeper, keeper},
		{exchange{numbered: true, doubt: true}, other, nil},
		{exchange{numbered: true, doubt: true}, &backend{}, nil},
		{exchange{doubt: true}, keeper, nil},
	} {
		if got := c.x.aim(c.be, v); got != c.want || c.x.keeps != (c.x.numbered && c.be == keeper) {
			t.Errorf("numbered %v, in doubt %v: wrong backend, or keeps is %v", c.x.numbered, c.x.doubt, c.x.keeps)
		}
	}
}

func TestHint(t *testing.T) {
	t.Parallel()
	node := func(id, http string, term uint64, up bool) Node {
		return Node{ID: id, HTTP: http, Term: term, Up: up, backend: &backend{}}
	}
	v := newView([]Node{node("n1", "a", 5, true), node("n2", "b", 5, true), node("n3", "c", 4, true), node("n4", "d", 6, false)}, nil)
	refuser := v.Nodes[0].backend
	for name, c := range map[string]struct {
		hint healthcheck.Leader
		want int
	}{
		"by address":         {healthcheck.Leader{ID: "other", HTTP: "b"}, 1},
		"by id":              {healthcheck.Leader{ID: "n2", HTTP: "unknown"}, 1},
		"of an older term":   {healthcheck.Leader{ID: "n3", HTTP: "c"}, -1},
		"down":               {healthcheck.Leader{ID: "n4", HTTP: "d"}, -1},
		"the refuser itself": {healthcheck.Leader{ID: "n1", HTTP: "a"}, -1},
		"unknown":            {healthcheck.Leader{ID: "n9", HTTP: "z"}, -1},
		"none":               {healthcheck.Leader{}, -1},
	} {
		var want *backend
		if c.want >= 0 {
			want = v.Nodes[c.want].backend
		}
		if got := v.follow(c.hint, refuser); got != want {
			t.Errorf("%s: wrong backend", name)
		}
	}
}

func TestRoster(t *testing.T) {
	t.Parallel()
	b := func(s string) Backend { return Backend{ID: s, HTTP: s, Health: s + "h"} }
	report := func(primary bool, term uint64, members ...string) healthcheck.Report {
		r := healthcheck.Report{Primary: primary, Term: term}
		for _, m := range members {
			r.Members = append(r.Members, healthcheck.Member{ID: m, HTTP: m, Health: m + "h"})
		}
		return r
	}
	for name, c := range map[string]struct {
		configured, current []Backend
		reports             []healthcheck.Report
		want                string
	}{
		"nobody reports":            {[]Backend{b("a")}, []Backend{b("a"), b("x")}, nil, "a x"},
		"a follower reports":        {[]Backend{b("a")}, []Backend{b("a")}, []healthcheck.Report{report(false, 1, "a", "b")}, "a b"},
		"the leader adds and drops": {[]Backend{b("a")}, []Backend{b("a"), b("x")}, []healthcheck.Report{report(true, 2, "a", "b")}, "a b"},
		"configured ones stay":      {[]Backend{b("a"), b("c")}, []Backend{b("a"), b("c")}, []healthcheck.Report{report(true, 2, "b")}, "a c b"},
		"the newest leader alone":   {[]Backend{b("a")}, []Backend{b("a")}, []healthcheck.Report{report(true, 2, "x"), report(true, 3, "b"), report(false, 9, "y")}, "a b"},
		"without addresses":         {[]Backend{b("a")}, nil, []healthcheck.Report{{Primary: true, Members: []healthcheck.Member{{ID: "b", HTTP: "b"}, {ID: "c", Health: "c"}}}}, "a"},
	} {
		got := ""
		var seen []sighting
		for _, r := range c.reports {
			seen = append(seen, sighting{report: r})
		}
		for _, be := range roster(c.configured, c.current, seen) {
			got += " " + be.HTTP
		}
		if got != " "+c.want {
			t.Errorf("%s: got%s, want %s", name, got, c.want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.ReadPaths = []string{"POST /search"}
	r := newRoutes(cfg)
	for request, want := range map[[2]string]class{
		{"GET", "/"}:              classRead,
		{"HEAD", "/x"}:            classRead,
		{"OPTIONS", "*"}:          classRead,
		{"POST", "/kv"}:           classWrite,
		{"POST", "/search"}:       classRead,
		{"POST", "/search?a=b"}:   classRead,
		{"POST", "/searching"}:    classWrite,
		{"PUT", "/search"}:        classWrite,
		{"POST", "/kv/get/"}:      classWrite,
		{"POST", "//kv/get"}:      classWrite,
		{"PUT", "/kv/get"}:        classWrite,
		{"PATCH", "/"}:            classWrite,
		{"DELETE", "/"}:           classWrite,
		{"PROPFIND", "/"}:         classWrite,
		{"POST", "/x?/kv/get"}:    classWrite,
		{"POST", "/kv%2Fget"}:     classWrite,
		{"POST", "/kv/../kv/get"}: classWrite,
	} {
		for _, dengine := range []bool{true, false} {
			if got := r.classify([]byte(request[0]), []byte(request[1]), dengine); got != want {
				t.Errorf("%v, dengine nodes: %v: %v", request, dengine, got)
			}
		}
	}
	// What a multi-get is for dengine nodes may change something elsewhere.
	for _, target := range []string{"/kv/get", "/kv/get?consistency=lease"} {
		if r.classify([]byte("POST"), []byte(target), true) != classRead || r.classify([]byte("POST"), []byte(target), false) != classWrite {
			t.Errorf("POST %s", target)
		}
	}
}

func TestViewKnowsDengineNodes(t *testing.T) {
	t.Parallel()
	node := func(role healthcheck.Role, up, identities bool) Node {
		return Node{Up: up, Role: role, Identities: identities, backend: &backend{}}
	}
	follower, starting := node(healthcheck.RoleFollower, true, true), node(healthcheck.RoleStarting, true, false)
	down, foreign := node("", false, false), node(healthcheck.RoleLeader, true, false)
	known := newView([]Node{follower}, nil)
	for name, c := range map[string]struct {
		nodes []Node
		old   *View
		want  bool
	}{
		"nobody says":            {[]Node{down, starting}, nil, false},
		"one says":               {[]Node{down, starting, follower}, nil, true},
		"one is none":            {[]Node{follower, foreign}, known, false},
		"nobody says any more":   {[]Node{down, starting}, known, true},
		"none of them ever said": {[]Node{down}, newView([]Node{foreign}, known), false},
	} {
		if v := newView(c.nodes, c.old); v.dengine != c.want {
			t.Errorf("%s: %v", name, v.dengine)
		}
	}
}

// Reads go round those that can answer at once; others come after them.
func TestReaderPrefersThoseThatAreFarEnough(t *testing.T) {
	t.Parallel()
	var nodes []Node
	for _, reached := range []uint64{10, 9, 10, 10} {
		be := &backend{}
		be.reached.Store(reached)
		nodes = append(nodes, Node{Up: true, Ready: true, backend: be})
	}
	v := newView(nodes, nil)
	nodes[3].backend.sideline.strike(time.Now(), 0)
	counts := make(map[*backend]int)
	for turn := range uint64(12) {
		counts[v.reader(turn, 10, nil)]++
	}
	if counts[nodes[0].backend] != 6 || counts[nodes[2].backend] != 6 {
		t.Errorf("reads of 10: %v", counts)
	}
	tried := []*backend{nodes[0].backend, nodes[2].backend}
	if v.reader(0, 10, tried) != nodes[1].backend {
		t.Error("one that is not known to be far enough comes before one that lets reads hang")
	}
	clear(counts)
	for turn := range uint64(12) {
		counts[v.reader(turn, 11, nil)]++
	}
	for _, n := range nodes[:3] {
		if counts[n.backend] != 4 {
			t.Errorf("reads of 11, where nobody is known to be: %v", counts)
		}
	}
}

func FuzzAnswerHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X\r\nX: y\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 304 \r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		if err := a.parse(b, false); err != nil {
			return
		}
		if a.status < 100 || a.status > 599 || a.length < framingNone || (a.length == framingNone && a.keep) {
			t.Errorf("%q: %+v", b, a)
		}
	})
}

func TestRosterKnowsANodeByAnyOfItsNames(t *testing.T) {
	t.Parallel()
	named := Backend{ID: "mine", HTTP: "localhost:1", Health: "localhost:2"}
	members := []healthcheck.Member{{ID: "n1", HTTP: "127.0.0.1:1", Health: "127.0.0.1:2"}, {ID: "n2", HTTP: "127.0.0.1:3", Health: "127.0.0.1:4"}}
	for name, c := range map[string]struct {
		configured Backend
		id         string // what the node there calls itself
		want       int
	}{
		"by its own report":     {named, "n1", 2},
		"by the health address": {Backend{HTTP: "localhost:1", Health: "127.0.0.1:2"}, "", 2},
		"another node":          {named, "n9", 3},
		"nameless":              {named, "", 3},
	} {
		for _, primary := range []bool{true, false} {
			seen := []sighting{{c.configured, healthcheck.Report{ID: c.id, Primary: primary, Members: members}}}
			configured := []Backend{c.configured}
			got := roster(configured, configured, seen)
			if len(got) != c.want || got[0] != c.configured {
				t.Errorf("%s, leader %v: %v", name, primary, got)
			}
			if again := roster(configured, got, seen); len(again) != c.want {
				t.Errorf("%s, leader %v: then %v", name, primary, again)
			}
		}
	}
}

// An answer that stands is what would be decided with anything else at hand.
func TestWhatStandsIsTheAnswer(t *testing.T) {
	t.Parallel()
	n := 0
	for _, c := range []class{classRead, classWrite} {
		for end := endAnswered; end <= endFull; end++ {
			for _, status := range []int{0, 101, 200, 304, 404, 409, 412, 500, 502, 503, 504} {
				for m := markNone; m <= markUnknown; m++ {
					for bits := range 1 << 8 {
						bit := func(i int) bool { return bits>>i&1 == 1 }
						s := situation{class: c, attempt: attempt{
							end: end, sent: bit(0), status: status, mark: m, unready: bit(1), echoes: bit(2), expired: bit(3),
						}, whole: bit(4), identity: bit(5), doubt: bit(6), waited: bit(7)}
						if !s.stands() {
							continue
						}
						n++
						for i := range 4 {
							s.others, s.time = i&1 == 1, i>>1 == 1
							if got := decide(s); got != verdictAnswer {
								t.Fatalf("%+v: %v", s, got)
							}
						}
					}
				}
			}
		}
	}
	if n == 0 {
		t.Error("nothing stands")
	}
}
