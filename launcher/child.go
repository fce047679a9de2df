package launcher

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// How long the output of a process that has ended is waited for: something it
// started may still hold the pipe.
const outputGrace = 500 * time.Millisecond

var errNotRunning = errors.New("process does not run")

// child is one process of the plan, through all its runs.
type child struct {
	proc    Process
	spawner *spawner
	logs    *ring
	log     *zap.Logger
	onStart func()      // called once for each run, before onEnd
	onEnd   func(ended) // called once for each run, before its end can be seen

	acting sync.Mutex // held for one action: they never overlap

	mu      sync.Mutex
	run     *run // the current or the last one; nil before the first
	closing bool // no run may start any more
}

// run is one life of a process.
type run struct {
	cmd     *exec.Cmd
	pid     int
	started time.Time
	logFrom uint64        // position in the ring where its output begins
	done    chan struct{} // closed after the process has ended

	// Guarded by child.mu.
	paused bool
	why    asked
	over   bool
	exit   Exit
	endAt  time.Time
}

// start begins a run; extra are more arguments, for this run alone.
func (c *child) start(extra ...string) (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, errors.New("dengine-up is ending")
	}
	file, err := os.OpenFile(c.proc.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", c.proc.Name, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("make pipe for %s: %w", c.proc.Name, err)
	}
	cmd := exec.Command(c.proc.Path, slices.Concat(c.proc.Args, extra)...)
	cmd.Stdout, cmd.Stderr = w, w
	err = c.spawner.start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		file.Close()
		return nil, fmt.Errorf("start %s: %w", c.proc.Name, err)
	}
	_, logFrom := c.logs.tail(0)
	run := &run{cmd: cmd, pid: cmd.Process.Pid, started: time.Now(), logFrom: logFrom, done: make(chan struct{})}
	c.run = run
	c.log.Info("process started", zap.String("process", c.proc.Name), zap.Int("pid", run.pid))
	c.onStart()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		c.collect(r, file)
	}()
	go c.watch(run, r, copied)
	return run, nil
}

// collect copies output into the log file and the ring, until its end.
func (c *child) collect(r *os.File, file *os.File) {
	defer file.Close()
	buf := make([]byte, 32<<10)
	fileOK := true
	for {
		n, err := r.Read(buf)
		c.logs.Write(buf[:n])
		if fileOK && n > 0 {
			if _, werr := file.Write(buf[:n]); werr != nil {
				// The process must not block on a full disk that is only ours
				// to log on: its output is read on.
				fileOK = false
				c.log.Warn("log file cannot be written", zap.String("process", c.proc.Name), zap.Error(werr))
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
				c.log.Warn("output cannot be read", zap.String("process", c.proc.Name), zap.Error(err))
			}
			c.logs.flush()
			return
		}
	}
}

// watch waits for the end of a run and tells it.
func (c *child) watch(run *run, output *os.File, copied <-chan struct{}) {
	err := run.cmd.Wait()
	end := ended{at: time.Now(), exit: exitOf(run.cmd.ProcessState)}
	// What the process itself had started goes with it.
	_ = syscall.Kill(-run.pid, syscall.SIGKILL)
	_ = output.SetReadDeadline(end.at.Add(outputGrace))
	<-copied
	output.Close()

	c.mu.Lock()
	run.over, run.exit, run.endAt, run.paused = true, end.exit, end.at, false
	end.why = run.why
	c.mu.Unlock()
	c.log.Info("process ended", zap.String("process", c.proc.Name), zap.Int("pid", run.pid), zap.NamedError("exit", err))
	if end.why == askedNothing {
		end.tail = c.words(run)
	}
	c.onEnd(end)
	close(run.done)
}

// words are the lines of a run that say most about its end.
func (c *child) words(r *run) []string {
	lines, _, _ := c.logs.since(r.logFrom)
	return lastWords(lines)
}

// close forbids further runs and returns the last one, nil if there was none.
func (c *child) close() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	return c.run
}

// live returns the current run, or errNotRunning.
func (c *child) live() (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil || c.run.over {
		return nil, errNotRunning
	}
	return c.run, nil
}

// kill ends a run at once and waits for its end.
func (c *child) kill(run *run, why asked) {
	c.mu.Lock()
	if !run.over {
		run.why = why
		_ = run.cmd.Process.Kill()
	}
	c.mu.Unlock()
	<-run.done
}

// stop asks a run to end and waits for that. It reports false where the
// process had to be killed: after grace, or when now was closed.
func (c *child) stop(run *run, grace time.Duration, now <-chan struct{}) (orderly bool) {
	c.mu.Lock()
	if !run.over {
		run.why = askedStop
		_ = run.cmd.Process.Signal(syscall.SIGTERM)
		// A paused process gets no signal but this one and SIGKILL.
		_ = run.cmd.Process.Signal(syscall.SIGCONT)
		run.paused = false
	}
	c.mu.Unlock()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-run.done:
		return true
	case <-t.C:
	case <-now:
	}
	c.kill(run, askedStop)
	return false
}

// signal sends SIGSTOP or SIGCONT.
func (c *child) signal(run *run, sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run.over {
		return errNotRunning
	}
	if err := run.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, c.proc.Name, err)
	}
	run.paused = sig == syscall.SIGSTOP
	return nil
}

// state describes the current or last run.
func (c *child) state() ProcessStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ProcessStatus{Name: c.proc.Name, State: StateStarting, Log: c.proc.LogFile}
	if c.run == nil {
		return s
	}
	s.PID, s.Started, s.State = c.run.pid, c.run.started, StateRunning
	s.Uptime = time.Since(c.run.started).Seconds()
	switch {
	case c.run.over:
		s.PID, s.Uptime = 0, 0
		s.State, s.Ended = StateExited, &c.run.endAt
		exit := c.run.exit
		s.Exit = &exit
		if exit.Signal != "" {
			s.State = StateKilled
		}
	case c.run.paused:
		s.State = StatePaused
	}
	return s
}
