package lb

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A number is never given out twice, never further ahead of the oldest in use
// than the window is wide, and acked never passes one that is in use.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{1, 2, 63, 64, 65, maxWindow} {
		w := window{size: size}
		var used []uint64
		var waiting []chan ticket
		var newest uint64
		took := func(tk ticket) {
			t.Helper()
			oldest := tk.number
			for _, n := range used {
				oldest = min(oldest, n)
			}
			if tk.number != newest+1 || tk.acked >= oldest || tk.number > tk.acked+size {
				t.Fatalf("size %d: number %d, acked %d, with %v in use", size, tk.number, tk.acked, used)
			}
			newest, used = tk.number, append(used, tk.number)
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
		for range 20_000 {
			switch i := rand.IntN(100); {
			case i < 49:
				tk, ch := w.take()
				if ch == nil {
					took(tk)
				} else {
					waiting = append(waiting, ch)
				}
			case i < 98 && len(used) > 0:
				j := rand.IntN(len(used))
				if rand.IntN(4) > 0 {
					j = 0 // or the window would be stuck most of the time
				}
				n := used[j]
				used = slices.Delete(used, j, j+1)
				w.finish(n)
				collect()
			case len(waiting) > 0:
				j := rand.IntN(len(waiting))
				w.leave(waiting[j])
				waiting = slices.Delete(waiting, j, j+1)
			}
		}
		for len(used) > 0 {
			n := used[0]
			used = used[1:]
			w.finish(n)
			collect()
		}
		if len(waiting) > 0 || w.use() != 0 || w.upTo() != newest {
			t.Errorf("size %d: %d wait, %d in use, acked %d of %d", size, len(waiting), w.use(), w.upTo(), newest)
		}
	}
}

// Who waits for a number of a session that is over is told so, and a number that
// came while its writer was leaving is free again.
func TestWindowEnds(t *testing.T) {
	t.Parallel()
	w := window{size: 1}
	first, _ := w.take()
	_, left := w.take()
	_, stays := w.take()
	w.finish(first.number)
	w.leave(left) // served already
	if tk := <-stays; tk.number != 3 || tk.acked != 2 {
		t.Errorf("got %+v", tk)
	}
	_, waits := w.take()
	w.end()
	if tk := <-waits; tk.number != 0 {
		t.Errorf("got %+v of a session that is over", tk)
	}
	w.leave(waits) // whoever was told may leave all the same
	if tk, ch := w.take(); tk.number != 0 || ch != nil {
		t.Errorf("it still gives out %+v", tk)
	}
}
