package loop_test

import (
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge/loop"
	"github.com/dengine/dengine/internal/edge/poll"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// patience is how long anything may take that nothing waits for when all is well.
const patience = 30 * time.Second

// member says what it hears.
type member struct {
	ready, ticks, panicked chan struct{}
	bug                    bool
}

func newMember() *member {
	return &member{ready: make(chan struct{}, 1), ticks: make(chan struct{}, 1), panicked: make(chan struct{}, 1)}
}

func say(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

func (m *member) Ready(uint32) {
	if m.bug {
		panic("as asked")
	}
	say(m.ready)
}

func (m *member) Tick() { say(m.ticks) }

func (m *member) Panicked() { say(m.panicked) }

func hear(t *testing.T, what string, from chan struct{}) {
	t.Helper()
	select {
	case <-from:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
}

// run runs a Loop until stop is called.
func run(t *testing.T, turns loop.Turns) (l *loop.Loop, stop func()) {
	t.Helper()
	l, err := loop.New(poll.InGo, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { l.Run(turns) })
	stop = func() {
		l.Post(l.Stop)
		running.Wait()
	}
	t.Cleanup(stop)
	return l, stop
}

// pair is a connection's two ends.
func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// A member hears of its own socket, until it is removed, and is asked about its deadlines,
// also when nothing comes.
func TestMembersHearTheirNews(t *testing.T) {
	t.Parallel()
	l, _ := run(t, loop.Turns{})
	first, second := newMember(), newMember()
	ours, theirs := pair(t)
	added := make(chan error, 1)
	l.Post(func() { added <- l.Add(ours, first) })
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	hear(t, "room to write", first.ready)
	if _, err := unix.Write(theirs, []byte("x")); err != nil {
		t.Fatal(err)
	}
	hear(t, "news", first.ready)
	hear(t, "tick", first.ticks)
	hear(t, "later tick", first.ticks)
	l.Post(func() {
		l.Remove(ours)
		added <- l.Add(ours, second)
	})
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	hear(t, "news for the next one", second.ready)
	if len(first.ready) > 0 {
		t.Error("who was removed heard more")
	}
}

// A bug of one member is its own affair.
func TestBugIsTheMembersOwn(t *testing.T) {
	t.Parallel()
	l, _ := run(t, loop.Turns{})
	odd, other := newMember(), newMember()
	odd.bug = true
	a, _ := pair(t)
	b, _ := pair(t)
	l.Post(func() {
		if l.Add(a, odd) != nil || l.Add(b, other) != nil {
			t.Error("the loop does not take a socket")
		}
	})
	hear(t, "word of the bug", odd.panicked)
	hear(t, "news of the other", other.ready)
}

// What is posted, or left, before the end is done, and the end is the last of all; what comes
// later is refused.
func TestEnd(t *testing.T) {
	t.Parallel()
	var mail *loop.Mail[int]
	var got []int
	ended := false
	take := func() { got = append(got, mail.Take()...) }
	l, err := loop.New(poll.InGo, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	mail = loop.NewMail[int](l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(loop.Turns{Begin: take, Last: func() { take(); ended = true }})
	}()
	for i := range 100 {
		if !mail.Leave(i) {
			t.Fatal("a loop that runs takes no mail")
		}
	}
	posted := false
	l.Post(func() {
		posted = true
		l.Stop()
	})
	<-done
	if len(got) != 100 || !posted || !ended {
		t.Errorf("%d of 100 came, posted: %v, ended: %v", len(got), posted, ended)
	}
	if mail.Leave(0) || l.Post(func() {}) {
		t.Error("a loop that has ended takes more")
	}
}
