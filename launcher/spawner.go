package launcher

import (
	"os/exec"
	"runtime"
)

// spawner starts all children from one operating system thread that lives as
// long as they may. Linux sends a child its parent-death signal when the
// *thread* that started it ends, and the Go runtime ends threads as it likes.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = childAttributes()
	err := make(chan error, 1)
	s.jobs <- func() { err <- cmd.Start() }
	return <-err
}

// close ends the thread; on Linux that kills every child which still runs.
func (s *spawner) close() {
	close(s.jobs)
	<-s.done
}
