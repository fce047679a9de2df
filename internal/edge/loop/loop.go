// Package loop serves many sockets in one goroutine, as the workers of nginx and Envoy
// do: it waits for news of all of them at once, and has whoever a socket belongs to act
// on it.
package loop

import (
	"sync"
	"time"

	"github.com/dengine/dengine/internal/edge/poll"
	"go.uber.org/zap"
)

// Member is who a socket of a loop belongs to. Its methods are called by the loop's
// goroutine and must not wait.
type Member interface {
	// Ready hears what is new: bits of poll's.
	Ready(what uint32)
	// Tick is called now and then, so that it looks at its deadlines.
	Tick()
	// Panicked is called after either has met a bug, which is logged.
	Panicked()
}

// Turns are what is done besides in each turn of a loop. A nil one is nothing.
type Turns struct {
	Begin func()      // before the members hear their news
	Each  func()      // before each of them does
	End   func()      // when all have
	Idle  func() bool // whether members are there whose deadlines are far
	Last  func()      // at the end, when nothing is posted any more
}

// Loop is for its goroutine, apart from Post.
type Loop struct {
	Now    time.Time // when the news came that are being served
	log    *zap.Logger
	poller *poll.Poller

	slots   []slot // by descriptor
	tag     int32  // of the newest
	soon    bool
	ticked  time.Time
	stopped bool

	posts *Mail[func()]
	mu    sync.Mutex // of all mail
	ended bool
}

// slot is who has a descriptor. The tag tells its events from those of whoever had the
// same one before.
type slot struct {
	tag int32
	who Member
}

// How often members look at their deadlines while one of them waits for something, and
// while none does.
const (
	tickSoon  = 50 * time.Millisecond
	tickLater = time.Second
)

// New returns a Loop for Run, which waits there. Its errors are those of making a poller.
func New(where poll.Where, log *zap.Logger) (*Loop, error) {
	p, err := poll.New(where)
	if err != nil {
		return nil, err
	}
	l := &Loop{log: log, poller: p, Now: time.Now()}
	l.posts = NewMail[func()](l)
	return l, nil
}

// Run serves until Stop, and closes the poller then. What was posted before that is done.
func (l *Loop) Run(t Turns) {
	for !l.stopped {
		events, err := l.poller.Wait(l.patience(t.Idle))
		if err != nil {
			panic("a poller of ours does not wait: " + err.Error())
		}
		l.Now = time.Now()
		l.doPosts()
		call(t.Begin)
		for _, e := range events {
			call(t.Each)
			l.serve(e)
		}
		l.tick()
		call(t.End)
	}
	l.End(t.Last)
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// Stop has Run return at the end of this turn.
func (l *Loop) Stop() { l.stopped = true }

// End takes no more posts, does those that there are and last, and gives up the poller.
// Run calls it; a loop that never runs must be ended so as well.
func (l *Loop) End(last func()) {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.doPosts()
	call(last)
	_ = l.poller.Close()
}

// Post has the loop do something soon, and says whether it still does anything. Any
// goroutine may call it.
func (l *Loop) Post(do func()) bool { return l.posts.Leave(do) }

func (l *Loop) doPosts() {
	for _, do := range l.posts.Take() {
		do()
	}
}

// serve hands an event to whom it is for.
func (l *Loop) serve(e poll.Event) {
	if e.FD >= len(l.slots) || l.slots[e.FD].tag != e.Tag || l.slots[e.FD].who == nil {
		return
	}
	l.Guard(l.slots[e.FD].who, func(m Member) { m.Ready(e.What) })
}

// Guard has a member do something. A bug costs one connection.
func (l *Loop) Guard(m Member, do func(Member)) {
	defer func() {
		if v := recover(); v != nil {
			l.log.Error("a worker panicked", zap.Any("panic", v), zap.Stack("stack"))
			m.Panicked()
		}
	}()
	do(m)
}

// Soon says that a member has a deadline that is near.
func (l *Loop) Soon() { l.soon = true }

// patience is how long to wait for news.
func (l *Loop) patience(idle func() bool) time.Duration {
	switch {
	case l.soon:
		return tickSoon
	case idle == nil || idle():
		return max(tickSoon, l.ticked.Add(tickLater).Sub(l.Now))
	}
	return -1
}

// tick has all members look at their deadlines, now and then.
func (l *Loop) tick() {
	since := l.Now.Sub(l.ticked)
	if since < tickSoon || !l.soon && since < tickLater {
		return
	}
	l.ticked, l.soon = l.Now, false
	l.Each(func(m Member) { l.Guard(m, Member.Tick) })
}

// Each calls f for each member's socket.
func (l *Loop) Each(f func(Member)) {
	for i := range l.slots {
		if m := l.slots[i].who; m != nil {
			f(m)
		}
	}
}

// Add gives a descriptor to a member.
func (l *Loop) Add(fd int, m Member) error {
	for fd >= len(l.slots) {
		l.slots = append(l.slots, make([]slot, max(64, len(l.slots)))...)
	}
	l.tag++
	l.slots[fd] = slot{l.tag, m}
	if err := l.poller.Add(fd, l.tag); err != nil {
		l.slots[fd].who = nil
		return err
	}
	return nil
}

// Remind has a member hear once more of what it may have heard already.
func (l *Loop) Remind(fd int) { _ = l.poller.Remind(fd, l.slots[fd].tag) } // it was added

// Remove takes a descriptor away from its member. It stays open.
func (l *Loop) Remove(fd int) {
	l.slots[fd].who = nil
	_ = l.poller.Remove(fd) // it was added
}
