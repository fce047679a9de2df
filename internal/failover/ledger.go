package failover

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// fate is what a client knows of a write.
type fate byte

const (
	underWay fate = iota
	acked         // it was answered with 2xx: it must be there, once
	unknown       // it may be there, once at most
	refused       // Dengine-Outcome: not-applied, or nothing was sent: it must not be there
)

func fateOf(a answer, err error) fate {
	switch {
	case err == nil && a.ok():
		return acked
	case err == nil && a.outcome == "not-applied", errors.Is(err, errNotSent):
		return refused
	default:
		return unknown
	}
}

// ledger is what became of everything that the load has sent.
type ledger struct {
	mu        sync.Mutex
	begin     time.Time
	puts      []fate          // of key i
	known     []int           // keys of acknowledged puts, in order
	counters  []*counter      // every generation of every counter
	successes []time.Duration // of writes, since begin, in order
	slowest   time.Duration   // success of a write, from when it was due
	tally     tally
}

// tally counts what happened.
type tally struct {
	writes, failed     int
	reads, failedReads int
	stale              int // reads that found nothing though the write was acknowledged before they were sent
	shed               int // arrivals that were not sent, since too much was in flight
	conditions         int // increments whose condition failed, though nobody else writes the key
	misreported        int // the same after an increment that was said not to have happened
	reasons            map[string]int
}

// counter is one generation of a counter: a key that one goroutine increments by
// compare-and-set. Once an increment is in doubt the generation ends, so that its
// value needs no guessing: increments acknowledged, and perhaps one more.
type counter struct {
	key   string
	acked uint64
	fate  fate // of the last increment
	etag  string
}

func putKey(i int) string { return fmt.Sprintf("w%d", i) }

// value is a key's own, of the wanted length.
func value(text string, n int) []byte {
	return []byte(text + strings.Repeat(" ", max(0, n-len(text))))
}

// newPut gives the next key.
func (l *ledger) newPut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts = append(l.puts, underWay)
	return len(l.puts) - 1
}

func (l *ledger) newCounter(key string) *counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &counter{key: key}
	l.counters = append(l.counters, c)
	return c
}

func (l *ledger) put(key int, due time.Time, a answer, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts[key] = fateOf(a, err)
	if l.puts[key] == acked {
		l.known = append(l.known, key)
	}
	l.write(now, due, a, err)
}

// increment notes what became of one and says whether the generation goes on.
func (l *ledger) increment(c *counter, due time.Time, a answer, err error) bool {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(now, due, a, err)
	before := c.fate
	c.fate = fateOf(a, err)
	switch {
	case err == nil && a.status == http.StatusPreconditionFailed: // somebody wrote, and nobody else does
		c.fate = unknown
		if before == refused {
			l.tally.misreported++
		} else {
			l.tally.conditions++ // this very request was executed twice
		}
	case c.fate == acked:
		c.acked++
		c.etag = a.etag
	}
	return c.fate != unknown
}

// write counts one; the lock is held.
func (l *ledger) write(now, due time.Time, a answer, err error) {
	l.tally.writes++
	if err == nil && a.ok() {
		l.successes = append(l.successes, now.Sub(l.begin))
		l.slowest = max(l.slowest, now.Sub(due))
		return
	}
	l.tally.failed++
	l.because("write: ", a, err)
}

func (l *ledger) read(a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.reads++
	switch {
	case err == nil && a.ok():
	case err == nil && a.status == http.StatusNotFound:
		l.tally.stale++
	default:
		l.tally.failedReads++
		l.because("read: ", a, err)
	}
}

// because counts a reason; the lock is held.
func (l *ledger) because(what string, a answer, err error) {
	if l.tally.reasons == nil {
		l.tally.reasons = map[string]int{}
	}
	l.tally.reasons[what+reason(a, err)]++
}

func (l *ledger) shed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.shed++
}

// acknowledged returns the n-th key that was, modulo how many there are.
func (l *ledger) acknowledged(n int) (key int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) == 0 {
		return 0, false
	}
	return l.known[n%len(l.known)], true
}

// succeeded is how many writes have been acknowledged so far.
func (l *ledger) succeeded() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.successes)
}

// lacks is an error that says how many are missing, where fewer than want have.
func (l *ledger) lacks(want int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := len(l.successes); now < want {
		return fmt.Errorf("%d of %d; failures so far: %v", now, want, l.tally.reasons)
	}
	return nil
}

// stall is the longest time from one moment to another in which no write
// succeeded, and its start.
func (l *ledger) stall(from, to time.Duration) (start, length time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return longestGap(l.successes, from, to)
}

// stallAt is the longest time in which no write succeeded of those that have a part
// in [from, to].
func (l *ledger) stallAt(from, to time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := time.Duration(0)
	for i := 1; i < len(l.successes); i++ {
		if a, b := l.successes[i-1], l.successes[i]; b >= from && a <= to {
			longest = max(longest, b-a)
		}
	}
	return longest
}

// longestGap is the longest part of [from, to] without one of the moments, which
// are in order.
func longestGap(moments []time.Duration, from, to time.Duration) (start, length time.Duration) {
	last := from
	for _, m := range append(slices.Clone(moments), to) {
		if m <= from || m > to {
			continue
		}
		if m-last > length {
			start, length = last, m-last
		}
		last = m
	}
	return start, length
}
