package lb

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSideline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s sideline
		hang := func() {
			began, answers := time.Now(), s.visit()
			time.Sleep(time.Second)
			s.strike(began, answers)
		}
		admits := func(want bool) {
			t.Helper()
			if s.admits() != want {
				t.Errorf("admits reads: %v, want %v", !want, want)
			}
		}
		admits(true)
		hang()
		admits(false)
		time.Sleep(sidelineLeast)
		admits(true)
		began, answers := time.Now(), s.visit()
		admits(false) // one is there to see
		time.Sleep(500 * time.Millisecond)
		s.strike(began, answers)
		time.Sleep(2*sidelineLeast - 1)
		admits(false)
		s.strike(began, answers) // side by side with the one before
		time.Sleep(time.Nanosecond)
		admits(true)
		for range 10 {
			hang()
		}
		time.Sleep(sidelineMost)
		admits(true)
		s.visit()
		s.answered()
		admits(true)

		// A slow read is no sick backend.
		began, answers = time.Now(), s.visit()
		s.answered()
		s.strike(began, answers)
		admits(true)
	})
}

func TestReaderOnTheSidelineComesLast(t *testing.T) {
	t.Parallel()
	var nodes []Node
	for range 3 {
		nodes = append(nodes, Node{Up: true, Ready: true, backend: &backend{}})
	}
	v := newView(nodes, nil)
	sick := nodes[1].backend
	sick.sideline.strike(time.Now(), 0)
	for turn := range uint64(6) {
		if v.reader(turn, 0, nil) == sick {
			t.Errorf("turn %d goes to it", turn)
		}
	}
	if v.reader(0, 0, []*backend{nodes[0].backend, nodes[2].backend}) != sick {
		t.Error("it is the only one left and is not asked")
	}
}
