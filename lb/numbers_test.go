package lb

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// numbering is numbers of sessions of some size, and how often they were short.
func numbering(sizes ...uint64) (n *numbers, short *int) {
	n, short = new(numbers), new(int)
	n.short = func() { *short++ }
	n.set(with(n, sizes...))
	return n, short
}

func with(n *numbers, sizes ...uint64) (all []*session) {
	for _, size := range sizes {
		all = append(all, &session{of: n, window: window{size: size}})
	}
	return all
}

// A number is never given out twice, never further ahead of the oldest in use of its session
// than the window is wide, and acked never passes one that is in use. Nobody waits while one
// is free.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]uint64{{1}, {2}, {63}, {64}, {65}, {maxWindow}, {1, 1}, {2, 65, 3}, {64, 64, 64, 64}} {
		n, _ := numbering(sizes...)
		var used []ticket
		var waiting []chan ticket
		newest := make(map[*session]uint64)
		took := func(tk ticket) {
			t.Helper()
			oldest := tk.number
			for _, u := range used {
				if u.session == tk.session {
					oldest = min(oldest, u.number)
				}
			}
			if tk.number != newest[tk.session]+1 || tk.acked >= oldest || tk.number > tk.acked+tk.session.size {
				t.Fatalf("sizes %d: number %d, acked %d", sizes, tk.number, tk.acked)
			}
			newest[tk.session], used = tk.number, append(used, tk)
		}
		collect := func() {
			for len(waiting) > 0 {
				select {
				case tk := <-waiting[0]: // in the order of their coming
					took(tk)
					waiting = waiting[1:]
				default:
					return
				}
			}
		}
		finish := func(i int) {
			tk := used[i]
			used = slices.Delete(used, i, i+1)
			tk.finish()
			collect()
		}
		for range 20_000 {
			switch i := rand.IntN(100); {
			case i < 29:
				if tk, ch := n.take(); ch == nil {
					took(tk)
				} else {
					waiting = append(waiting, ch)
				}
			case i < 49:
				if tk, ok := n.tryTake(i % 3); ok {
					if took(tk); len(waiting) > 0 {
						t.Fatalf("sizes %d: one is taken while others wait", sizes)
					}
				}
			case i < 98 && len(used) > 0:
				if rand.IntN(4) > 0 {
					finish(0) // or the window would be stuck most of the time
				} else {
					finish(rand.IntN(len(used)))
				}
			case len(waiting) > 0:
				j := rand.IntN(len(waiting))
				n.leave(waiting[j])
				waiting = slices.Delete(waiting, j, j+1)
			}
			if tk, ok := n.free(0); ok {
				if len(waiting) > 0 {
					t.Fatalf("sizes %d: somebody waits for what is free", sizes)
				}
				took(tk)
			}
		}
		for len(used) > 0 {
			finish(0)
		}
		if len(waiting) > 0 || n.queued.Load() != 0 {
			t.Errorf("sizes %d: %d wait, counted as %d", sizes, len(waiting), n.queued.Load())
		}
		for _, s := range n.all() {
			if s.use() != 0 || s.upTo() != newest[s] {
				t.Errorf("sizes %d: %d in use, acked %d of %d", sizes, s.use(), s.upTo(), newest[s])
			}
		}
	}
}

// Whoever waits hears of a number that is freed at the same time.
func TestNumbersOfMany(t *testing.T) {
	t.Parallel()
	n := new(numbers)
	n.short = func() {}
	n.set(with(n, 2, 1))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20_000 {
				tk, ok := n.tryTake(i)
				if !ok {
					var ch chan ticket
					if tk, ch = n.take(); ch != nil {
						tk = <-ch
					}
				}
				tk.finish()
			}
		})
	}
	wg.Wait() // or the test's time is over
	if n.queued.Load() != 0 {
		t.Errorf("%d wait", n.queued.Load())
	}
}

// Who waits for a number of a session that is over gets one of another, or is told that there
// is none; and a number that came while its writer was leaving is free again.
func TestNumbersEnd(t *testing.T) {
	t.Parallel()
	n, short := numbering(1)
	first, _ := n.take()
	_, left := n.take()
	_, stays := n.take()
	if *short != 2 || !n.awaited() {
		t.Errorf("numbers were short %d times", *short)
	}
	first.session.finish(first.number) // and nobody is told yet
	if _, ok := n.tryTake(0); ok {
		t.Error("who came last goes before those who wait")
	}
	n.serve()
	n.leave(left) // served already
	if tk := <-stays; tk.number != 3 || tk.acked != 2 {
		t.Errorf("got %+v", tk)
	}
	_, waits := n.take()
	n.all()[0].end()
	n.set(with(n, 1))
	if tk := <-waits; tk.number != 1 || tk.session != n.all()[0] {
		t.Errorf("got %+v", tk)
	}
	_, waits = n.take()
	n.all()[0].end()
	n.set(nil)
	if tk := <-waits; tk.session != nil {
		t.Errorf("got %+v of a session that is over", tk)
	}
	n.leave(waits) // whoever was told may leave all the same
	if tk, ch := n.take(); tk.session != nil || ch != nil {
		t.Errorf("it still gives out %+v", tk)
	}
	if _, ok := n.tryTake(0); ok || n.queued.Load() != 0 {
		t.Errorf("it still gives out a number; %d wait", n.queued.Load())
	}
}
