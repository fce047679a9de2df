package sock

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline that was set before stands for a later one, and ends nothing before that.
func TestDeadlinesEndWhenTheyShould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		asked []time.Duration // from the start, one after the other
		ends  time.Duration
	}{
		"one":                    {[]time.Duration{time.Second}, time.Second},
		"later ones":             {[]time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, 5 * time.Second},
		"a sooner one":           {[]time.Duration{5 * time.Second, time.Second}, time.Second},
		"sooner, then later":     {[]time.Duration{5 * time.Second, time.Second, 3 * time.Second}, 3 * time.Second},
		"one that passed":        {[]time.Duration{time.Second, -time.Second}, 0},
		"passed, then a new one": {[]time.Duration{-time.Second, time.Second}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				for _, does := range []func(*Conn) error{
					func(p *Conn) error { _, err := p.Read(make([]byte, 1)); return err },
					func(p *Conn) error { _, err := p.Write([]byte("x")); return err },
				} {
					p, start := New(ours), time.Now()
					for _, d := range c.asked {
						if err := p.SetDeadline(start.Add(d)); err != nil {
							t.Fatal(err)
						}
					}
					if err := does(p); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					if took := time.Since(start); took != c.ends {
						t.Errorf("it ended after %v, want %v", took, c.ends)
					}
				}
			})
		})
	}
}

func TestDeadlineThatIsTakenBackEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		p := New(ours)
		if err := errors.Join(p.SetDeadline(time.Now().Add(time.Second)), p.SetDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour) // of the bubble's time
			_, _ = theirs.Write([]byte("x"))
		}()
		if n, err := p.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// What was set again when an earlier deadline passed is what later ones are compared with.
func TestDeadlineThatWasSetAgainGivesWayToASoonerOne(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]time.Duration{"a later one": 10 * time.Second, "none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				p, start := New(ours), time.Now()
				second := time.Time{}
				if later > 0 {
					second = start.Add(later)
				}
				if err := errors.Join(p.SetReadDeadline(start.Add(time.Second)), p.SetReadDeadline(second)); err != nil {
					t.Fatal(err)
				}
				go func() {
					time.Sleep(2 * time.Second) // of the bubble's time: the first one has passed
					_, _ = theirs.Write([]byte("x"))
				}()
				if n, err := p.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
				if err := p.SetReadDeadline(start.Add(3 * time.Second)); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute, func() { _ = theirs.Close() }) // or it may never end
				if _, err := p.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("it ended after %v", took)
				}
			})
		})
	}
}
