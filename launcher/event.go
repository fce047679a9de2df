package launcher

import (
	"fmt"
	"time"
)

// EventKind says what an Event is about.
type EventKind string

const (
	EventReady        EventKind = "ready"         // the cluster serves; Status says where
	EventLeader       EventKind = "leader"        // somebody leads: another node, or the same in a later term
	EventNoLeader     EventKind = "no_leader"     // nobody leads, for longer than a failover should take
	EventExit         EventKind = "exit"          // a process has ended
	EventStart        EventKind = "start"         // a process was started again
	EventPause        EventKind = "pause"         // a process was paused
	EventResume       EventKind = "resume"        // a paused process runs again
	EventMajorityLost EventKind = "majority_lost" // too few nodes run for writes
	EventMajorityBack EventKind = "majority_back"
	EventRejoin       EventKind = "rejoin" // a step of "rejoin"
	EventStopping     EventKind = "stopping"
	EventStopped      EventKind = "stopped" // everything has ended
)

// Event is one thing that matters, as --json prints it: one object a line.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"event"`
	Message string    `json:"message"` // for people, one line
	Node    string    `json:"node,omitempty"`
	// From and Leader are who led and who leads, Term the latter's term.
	From   string `json:"from,omitempty"`
	Leader string `json:"leader,omitempty"`
	Term   uint64 `json:"term,omitempty"`
	// NoLeader is for how long nobody took writes, in milliseconds.
	NoLeader float64 `json:"no_leader_ms,omitempty"`
	Exit     *Exit   `json:"exit,omitempty"`
	// Log is what a process that nobody asked to end wrote last.
	Log []string `json:"log,omitempty"`
	// Start names the process that "dengine-up start" brings back.
	Start  string  `json:"start,omitempty"`
	Status *Status `json:"status,omitempty"` // of EventReady
}

// exitPhrase says how a process ended: "n1 died (SIGKILL)".
func exitPhrase(name string, e ended) string { return name + " " + e.verb() }

// verb is what the process did: "exited (code 1)".
func (e ended) verb() string {
	switch {
	case e.why == askedStop:
		return fmt.Sprintf("was stopped (%v)", e.exit)
	case e.exit.Signal != "":
		return fmt.Sprintf("died (%v)", e.exit)
	}
	return fmt.Sprintf("exited (%v)", e.exit)
}

// span is a duration as a person reads it: "38 ms", "2.3 s".
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func millis(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
