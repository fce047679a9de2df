package chaos

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// lived is a life in which process held at says of each look.
func lived(name string, looks int, at func(i int) holding) *life {
	l := &life{name: name, pid: 7}
	for i := range looks {
		l.looks = append(l.looks, at(i))
	}
	return l
}

// Getting going, one burst and a slow drift within the tolerance are no leak; one
// thing left behind by each of many is, and memory is only spoken of.
func TestLivesAreJudged(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		l          *life
		notes, bad string
	}{
		"level": {
			lived("lb", 90, func(int) holding { return holding{40, 20, 5 * mib, 30 * mib, false} }),
			"lb: 40 to 40 goroutines, 20 to 20 open files, 5 to 5 MiB of heap, 30 to 30 MiB resident", "",
		},
		"getting going":             {lived("n1", 90, func(i int) holding { return holding{goroutines: 10 * float64(min(i, 30))} }), "300 to 300 goroutines", ""},
		"a burst":                   {lived("n1", 90, func(i int) holding { return holding{goroutines: float64(40 + i/80*1000)} }), "40 to 40 goroutines", ""},
		"a drift":                   {lived("n1", 90, func(i int) holding { return holding{goroutines: 40 + float64(i)/2} }), "62 to 77 goroutines", ""},
		"a goroutine each":          {lived("n1", 90, func(i int) holding { return holding{goroutines: 40 + 2*float64(i)} }), "128 to 188 goroutines", "n1, process 7: 128 to 188 goroutines"},
		"a file each":               {lived("lb", 600, func(i int) holding { return holding{files: 20 + float64(i)/4} }), "95 to 145 open files", "lb, process 7: 95 to 145 open files"},
		"many, and a tenth more":    {lived("lb", 90, func(i int) holding { return holding{goroutines: 1000 + float64(i)} }), "1044 to 1074 goroutines", ""},
		"memory":                    {lived("n1", 90, func(i int) holding { return holding{live: float64(i) * mib} }), "not levelled out: n1, process 7: 44 to 74 MiB of heap", ""},
		"a life too short to judge": {lived("n1", leastLooks-1, func(i int) holding { return holding{goroutines: 9 * float64(i)} }), "too short to tell", ""},
	} {
		notes, bad := judgeLives([]*life{c.l})
		if !strings.Contains(notes, c.notes) || (bad == "") != (c.bad == "") || !strings.Contains(bad, c.bad) {
			t.Errorf("%s: %q, %q", name, notes, bad)
		}
	}
}

// Each run of a process is judged by itself, however short the others were.
func TestEveryLifeIsJudged(t *testing.T) {
	t.Parallel()
	leaks := lived("n1", 90, func(i int) holding { return holding{files: 2 * float64(i)} })
	longer := lived("n1", 300, func(int) holding { return holding{files: 9} })
	longer.pid = 8
	notes, bad := judgeLives([]*life{leaks, longer, lived("n1", 3, func(int) holding { return holding{files: 9} })})
	if !strings.Contains(notes, "n1: 0 to 0 goroutines, 9 to 9 open files") || !strings.Contains(bad, "process 7: 88 to 148 open files") {
		t.Errorf("%q, %q", notes, bad)
	}
}

// A node that led and leads no more is not compared with itself.
func TestLeadersAreComparedWithLeaders(t *testing.T) {
	t.Parallel()
	w := new(leakWatch)
	for i := range 90 {
		if i >= 60 {
			w.note("n1", 7, holding{goroutines: 100, leads: true})
		} else {
			w.note("n1", 7, holding{goroutines: 50})
		}
	}
	if notes, bad := w.judge(); bad != "" || !strings.Contains(notes, "50 to 50 goroutines") || w.looks("n1") != 90 {
		t.Errorf("%q, %q, %d looks", notes, bad, w.looks("n1"))
	}
}

// A real balancer whose clients leave more and more connections open is seen to
// take more, and nothing else is; while nobody does, nothing is.
func TestGrowthOfARealProcessIsSeen(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Nodes: 1})
	watch := func(each func()) (notes, bad string) {
		t.Helper()
		w := watchLeaks(c, 20*time.Millisecond)
		defer w.stop()
		harness.Eventually(t, "enough looks", func() error {
			if n := w.looks("lb"); n < leastLooks {
				each()
				return fmt.Errorf("%d so far", n)
			}
			return nil
		})
		return w.judge()
	}
	if notes, bad := watch(func() {}); bad != "" || !strings.Contains(notes, "lb: ") || strings.Contains(notes, " 0 to 0 ") {
		t.Errorf("at rest: %s; %s", notes, bad)
	}
	notes, bad := watch(func() {
		for range 3 {
			conn, err := net.Dial("tcp", c.Front)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}
	})
	if !strings.Contains(bad, "lb, ") || !strings.Contains(bad, "open files") || !strings.Contains(bad, "goroutines") || strings.Contains(bad, "n1") {
		t.Errorf("while connections are left open: %s; %s", notes, bad)
	}
}
