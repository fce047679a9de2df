package healthcheck

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode says how a backend's role is learnt.
type Mode string

const (
	// ModeRole watches /role by long poll, with plain checks of it beside, and
	// falls back to ModePoll while the backend has no /role.
	ModeRole Mode = "role"
	// ModePoll asks PrimaryPath and ReplicaPath each interval, as HAProxy does.
	ModePoll Mode = "poll"
)

// Checks says how backends are checked. See DefaultChecks for the defaults.
type Checks struct {
	Mode Mode
	// PrimaryPath answers an expected status on the node that takes writes,
	// ReplicaPath on those that serve reads only. Empty: that question is not
	// asked, and the answer is no.
	PrimaryPath string
	ReplicaPath string
	Expect      Statuses      // statuses that mean yes
	Host        string        // Host header of a check; empty: the address
	Interval    time.Duration // from the end of a check to the start of the next
	Timeout     time.Duration // for one check, connecting included
	LongPoll    time.Duration // the wait asked of /role, at most MaxWait
	// Rise and Fall are how many checks in a row must succeed before a backend
	// that failed is up again, and fail before one that is up is down. The
	// first check after the start decides alone. A refused or reset connection
	// takes a backend down at once whatever Fall says.
	Rise int
	Fall int
}

// DefaultChecks is ModeRole with checks twice a second.
func DefaultChecks() Checks {
	return Checks{
		Mode:        ModeRole,
		PrimaryPath: PathPrimary,
		ReplicaPath: PathReplica,
		Expect:      Statuses{{200, 200}},
		Interval:    500 * time.Millisecond,
		Timeout:     500 * time.Millisecond,
		LongPoll:    30 * time.Second,
		Rise:        1,
		Fall:        2,
	}
}

// Validate names the first field that is out of range.
func (c Checks) Validate() error {
	switch {
	case c.Mode != ModeRole && c.Mode != ModePoll:
		return fmt.Errorf("health mode %q: must be %q or %q", c.Mode, ModeRole, ModePoll)
	case c.Mode == ModePoll && c.PrimaryPath == "" && c.ReplicaPath == "":
		return errors.New("health mode poll needs a primary path, a replica path or both")
	case c.PrimaryPath != "" && c.PrimaryPath[0] != '/':
		return fmt.Errorf("primary path %q: must start with /", c.PrimaryPath)
	case c.ReplicaPath != "" && c.ReplicaPath[0] != '/':
		return fmt.Errorf("replica path %q: must start with /", c.ReplicaPath)
	case len(c.Expect) == 0:
		return errors.New("expected health status: name at least one")
	case c.Interval < time.Millisecond:
		return fmt.Errorf("health interval %v: must be at least 1ms", c.Interval)
	case c.Timeout < time.Millisecond:
		return fmt.Errorf("health timeout %v: must be at least 1ms", c.Timeout)
	case c.LongPoll < 0 || c.LongPoll > MaxWait:
		return fmt.Errorf("long poll %v: must be from 0 to %v", c.LongPoll, MaxWait)
	case c.Rise < 1:
		return fmt.Errorf("rise %d: must be at least 1", c.Rise)
	case c.Fall < 1:
		return fmt.Errorf("fall %d: must be at least 1", c.Fall)
	}
	return nil
}

// Statuses is a list of ranges of HTTP status codes, both ends included.
type Statuses [][2]int

// ParseStatuses reads "200", "200-299" or a list of both with commas.
func ParseStatuses(s string) (Statuses, error) {
	var out Statuses
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			hi = lo
		}
		from, err1 := strconv.Atoi(lo)
		to, err2 := strconv.Atoi(hi)
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("status %q: want a code or a range such as 200-299", part)
		}
		out = append(out, [2]int{from, to})
	}
	return out, nil
}

// Has says whether code is in one of the ranges.
func (s Statuses) Has(code int) bool {
	for _, r := range s {
		if code >= r[0] && code <= r[1] {
			return true
		}
	}
	return false
}

func (s Statuses) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = strconv.Itoa(r[0])
		if r[1] != r[0] {
			parts[i] += "-" + strconv.Itoa(r[1])
		}
	}
	return strings.Join(parts, ",")
}
