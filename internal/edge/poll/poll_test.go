package poll_test

import (
	"testing"
	"time"

	"github.com/dengine/dengine/internal/edge/poll"
	"golang.org/x/sys/unix"
)

// patience is how long news may take. Nothing waits for it when all is well.
const patience = 30 * time.Second

func newPoller(t *testing.T, where poll.Where) *poll.Poller {
	t.Helper()
	p, err := poll.New(where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// everywhere tests a Poller that waits in either place.
func everywhere(t *testing.T, test func(*testing.T, *poll.Poller)) {
	t.Parallel()
	for name, where := range map[string]poll.Where{"in the kernel": poll.InKernel, "in Go": poll.InGo} {
		t.Run(name, func(t *testing.T) { test(t, newPoller(t, where)) })
	}
}

// pair is a connection's two ends.
func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]) })
	return fds[0], fds[1]
}

// next waits for one event.
func next(t *testing.T, p *poll.Poller) poll.Event {
	t.Helper()
	events, err := p.Wait(patience)
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	return events[0]
}

func write(t *testing.T, fd int) {
	t.Helper()
	if n, err := unix.Write(fd, []byte("x")); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
}

// Each change is told once, also while what came before was not read.
func TestNewsComeOnce(t *testing.T) { everywhere(t, testNewsComeOnce) }

func testNewsComeOnce(t *testing.T, p *poll.Poller) {
	ours, theirs := pair(t)
	if err := p.Add(ours, 7); err != nil {
		t.Fatal(err)
	}
	if e := next(t, p); e.FD != ours || e.Tag != 7 || e.What != poll.Writable {
		t.Errorf("a new one: %+v", e)
	}
	for range 2 {
		write(t, theirs)
		if e := next(t, p); e.What&poll.Readable == 0 || e.What&poll.Ended != 0 {
			t.Errorf("a byte: %+v", e)
		}
		if events, err := p.Wait(0); len(events) > 0 || err != nil {
			t.Errorf("nothing new: %v, %v", events, err)
		}
	}
	_ = unix.Close(theirs)
	if e := next(t, p); e.What&poll.Ended == 0 {
		t.Errorf("the end: %+v", e)
	}
}

// A wait whose time has passed before it begins finds what is there, and nothing that was
// there before.
func TestLateWait(t *testing.T) { everywhere(t, testLateWait) }

func testLateWait(t *testing.T, p *poll.Poller) {
	const short = 20 * time.Millisecond
	ours, theirs := pair(t)
	if err := p.Add(ours, 1); err != nil {
		t.Fatal(err)
	}
	next(t, p)
	for range 3 {
		write(t, theirs)
		if events, err := p.Wait(short); err != nil || len(events) > 1 {
			t.Fatalf("%v, %v", events, err)
		}
		<-time.After(2 * short)
		if events, err := p.Wait(short); err != nil || len(events) > 0 {
			t.Fatalf("nothing is new, and yet: %v, %v", events, err)
		}
	}
}

// What is there is told once more where that is asked for.
func TestRemind(t *testing.T) { everywhere(t, testRemind) }

func testRemind(t *testing.T, p *poll.Poller) {
	ours, theirs := pair(t)
	if err := p.Add(ours, 7); err != nil {
		t.Fatal(err)
	}
	next(t, p)
	write(t, theirs)
	next(t, p)
	if events, err := p.Wait(0); err != nil || len(events) > 0 {
		t.Fatalf("nothing is new, and yet: %v, %v", events, err)
	}
	if err := p.Remind(ours, 7); err != nil {
		t.Fatal(err)
	}
	if e := next(t, p); e.FD != ours || e.Tag != 7 || e.What&poll.Readable == 0 {
		t.Errorf("%+v", e)
	}
}

// What was there before is news too, and a socket that was removed makes none.
func TestAddAndRemove(t *testing.T) { everywhere(t, testAddAndRemove) }

func testAddAndRemove(t *testing.T, p *poll.Poller) {
	ours, theirs := pair(t)
	defer unix.Close(theirs)
	write(t, theirs)
	for range 2 {
		if err := p.Add(ours, 1); err != nil {
			t.Fatal(err)
		}
		if e := next(t, p); e.What&poll.Readable == 0 {
			t.Errorf("%+v", e)
		}
		if err := p.Remove(ours); err != nil {
			t.Fatal(err)
		}
		write(t, theirs)
		if events, err := p.Wait(0); len(events) > 0 || err != nil {
			t.Errorf("%v, %v", events, err)
		}
	}
}

// A Wait ends with its time, and a longer one after it is not cut short by that for ever.
func TestWaitEndsWithItsTime(t *testing.T) { everywhere(t, testWaitEndsWithItsTime) }

func testWaitEndsWithItsTime(t *testing.T, p *poll.Poller) {
	for _, most := range []time.Duration{time.Hour, 20 * time.Millisecond, time.Millisecond} {
		if most == time.Hour {
			time.AfterFunc(time.Millisecond, p.Wake)
		}
		if events, err := p.Wait(most); len(events) > 0 || err != nil {
			t.Fatalf("%v: %v, %v", most, events, err)
		}
	}
	ours, theirs := pair(t)
	defer unix.Close(theirs)
	if err := p.Add(ours, 1); err != nil {
		t.Fatal(err)
	}
	next(t, p)
	time.AfterFunc(50*time.Millisecond, func() { _, _ = unix.Write(theirs, []byte("x")) })
	for {
		events, err := p.Wait(patience)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) > 0 {
			break
		}
	}
}

// Wake ends one Wait, whether it has begun or not.
func TestWake(t *testing.T) { everywhere(t, testWake) }

func testWake(t *testing.T, p *poll.Poller) {
	for range 1000 {
		woken := make(chan struct{})
		go func() {
			defer close(woken)
			p.Wake()
			p.Wake()
		}()
		if events, err := p.Wait(-1); len(events) > 0 || err != nil {
			t.Fatalf("%v, %v", events, err)
		}
		<-woken
		if _, err := p.Wait(0); err != nil { // the second one may have come after the first was heard
			t.Fatal(err)
		}
	}
}
