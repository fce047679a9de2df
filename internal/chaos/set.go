package chaos

import (
	"fmt"
	"strings"
	"time"
)

// set is a set that only grows: each element is a key, put once by one client, half
// of them where no such key is there, and half under an Idempotency-Key until the
// outcome is certain. Elements are spread over some prefixes, which are scanned.
type set struct{ l *load }

const (
	setPrefixes  = 24
	mostElements = 1000 // that a scan asks for at once
)

func (w set) prefix(n int) string { return w.l.key(ofSet, fmt.Sprintf("%02d-", n)) }

func (w set) join(c *client) func() {
	return func() {
		n := c.random.IntN(setPrefixes)
		if c.chance(4) {
			w.look(c, n)
			return
		}
		element := c.newValue()
		o := Op{Workload: ofSet, Key: w.prefix(n) + element, Kind: Put, Value: element}
		if c.chance(2) {
			c.write(o, "If-None-Match", "*")
			return
		}
		c.certain(c.here, o)
	}
}

func (w set) look(c *client, n int) bool {
	_, ok := c.scan(c.here, Op{Workload: ofSet, Key: w.prefix(n)}, mostElements)
	return ok
}

func (w set) closing(c *client) bool {
	for n := range setPrefixes {
		if !w.look(c, n) {
			return false
		}
	}
	return true
}

// check compares every scan with what was put: no acknowledged element is missing,
// nor one that was seen before, none is there that nobody put, and none was written
// twice.
func (set) check(h []Op) *Finding {
	puts, there := map[string]Op{}, presence{}
	for _, o := range h {
		if o.Kind != Put {
			continue
		}
		if o.Result == Failed {
			return &Finding{Key: o.Key, What: fmt.Sprintf("client %d at %s was told that it is there; only it has put it, once", o.Client, o.At)}
		}
		if puts[o.Key] = o; o.Result == OK {
			there.note(o.Key, o.Return)
		}
	}
	scans := only(h, func(o Op) bool { return o.Kind == Scan })
	for _, s := range scans {
		for _, it := range s.items() {
			there.note(it.Key, s.Return)
		}
	}
	for _, s := range scans {
		if key, what := checkElements(s, puts, there); what != "" {
			return &Finding{Key: key, What: fmt.Sprintf("client %d at %s, in a scan begun at %v: %s", s.Client, s.At, s.Call, what)}
		}
	}
	return nil
}

// presence is from when on an element is certainly there: by prefix, and by key.
type presence map[string]map[string]time.Duration

func (p presence) note(key string, since time.Duration) {
	prefix := key[:strings.LastIndexByte(key, '-')+1]
	if p[prefix] == nil {
		p[prefix] = map[string]time.Duration{}
	}
	if first, ok := p[prefix][key]; !ok || since < first {
		p[prefix][key] = since
	}
}

// checkElements names an element that is wrong in a scan, and says what is.
func checkElements(scan Op, puts map[string]Op, there presence) (key, what string) {
	seen := map[string]bool{}
	for _, it := range scan.items() {
		put, ok := puts[it.Key]
		switch {
		case !ok || put.Call >= scan.Return:
			return it.Key, "nobody had put it by then, or was told so"
		case seen[it.Key]:
			return it.Key, "it is there twice"
		case it.Writes != 1 || it.Value != put.Value:
			return it.Key, fmt.Sprintf("it is %q, written %d times: want %q, once", it.Value, it.Writes, put.Value)
		}
		seen[it.Key] = true
	}
	for key, since := range there[scan.Key] {
		if since < scan.Call && !seen[key] {
			return key, fmt.Sprintf("it is not there, and was at %v", since)
		}
	}
	return "", ""
}
