package failover

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/dengine/dengine/internal/harness"
)

// Losses are what the nodes hold at the end, against what clients were told.
type Losses struct {
	Lost        int // acknowledged writes that a node does not have
	Doubled     int // writes that were executed twice
	Misreported int // writes that a node has though they were said not to have happened
	Examples    []string
}

// exampleCount bounds Examples.
const exampleCount = 10

func (s *Losses) add(n *int, by int, format string, args ...any) {
	*n += by
	if len(s.Examples) < exampleCount {
		s.Examples = append(s.Examples, fmt.Sprintf(format, args...))
	}
}

// seen is a key as one node has it; writes is 0 where it is not there.
type seen struct {
	value  string
	writes uint64
}

// check reads every key on every node, which must all run and be at the same
// state.
func (l *Load) check(nodes []*harness.Process) (Losses, error) {
	s := Losses{Misreported: l.tally.misreported}
	if l.tally.conditions > 0 { // nobody else writes these keys
		s.add(&s.Doubled, l.tally.conditions, "%d increments met a value that another execution of them must have written", l.tally.conditions)
	}
	clients := make([]*client, len(nodes))
	for i, p := range nodes {
		clients[i] = &client{addr: p.HTTP}
		defer clients[i].close()
	}
	look := func(key string) ([]seen, error) {
		out := make([]seen, len(nodes))
		for i, c := range clients {
			var err error
			if out[i], err = readKey(c, key); err != nil {
				return nil, fmt.Errorf("read %s on %s: %w", key, nodes[i].Name, err)
			}
		}
		return out, nil
	}
	err := inParallel(len(l.puts), func(i int) (func(), error) {
		at, err := look(putKey(i))
		return func() { s.put(putKey(i), l.puts[i], at) }, err
	})
	if err != nil {
		return s, err
	}
	return s, inParallel(len(l.counters), func(i int) (func(), error) {
		at, err := look(l.counters[i].key)
		return func() { s.counter(l.counters[i], at) }, err
	})
}

// inParallel asks for n things at once, some at a time, and judges them one after
// the other.
func inParallel(n int, ask func(i int) (judge func(), err error)) error {
	const askers = 16
	var mu sync.Mutex
	var wg sync.WaitGroup
	next, failed := 0, error(nil)
	for range askers {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				over := i >= n || failed != nil
				mu.Unlock()
				if over {
					return
				}
				judge, err := ask(i)
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					judge()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

func readKey(c *client, key string) (seen, error) {
	a, err := c.do(http.MethodGet, "/kv/"+key+"?consistency=eventual", nil, "Accept", "application/octet-stream")
	switch {
	case err != nil:
		return seen{}, err
	case a.status == http.StatusNotFound:
		return seen{}, nil
	case !a.ok() || a.writes == 0:
		return seen{}, fmt.Errorf("answered %d, %d writes", a.status, a.writes)
	}
	return seen{strings.TrimRight(string(a.body), " "), a.writes}, nil
}

// put judges a key that was written once. What is wrong on several nodes is one
// wrong write.
func (s *Losses) put(key string, f fate, nodes []seen) {
	for i, at := range nodes {
		there := at.writes > 0 && at.value == key
		switch {
		case f == acked && !there:
			s.add(&s.Lost, 1, "%s was acknowledged; node %d has %+v", key, i+1, at)
		case at.writes > 1:
			s.add(&s.Doubled, 1, "%s was sent once; node %d has %+v", key, i+1, at)
		case f == refused && there:
			s.add(&s.Misreported, 1, "%s was said not to have happened; node %d has %+v", key, i+1, at)
		default:
			continue
		}
		return
	}
}

// counter judges one generation of a counter.
func (s *Losses) counter(c *counter, nodes []seen) {
	most := c.acked
	if c.fate == unknown {
		most++
	}
	for i, at := range nodes {
		n, err := strconv.ParseUint(at.value, 10, 64)
		switch {
		case at.writes == 0 && c.acked == 0:
			continue
		case err != nil || n < c.acked:
			s.add(&s.Lost, int(c.acked-min(n, c.acked)), "counter %s: %d increments acknowledged; node %d has %+v", c.key, c.acked, i+1, at)
		case n > most || at.writes > n:
			s.add(&s.Doubled, int(max(n, at.writes)-min(n, most)), "counter %s: at most %d increments; node %d has %+v", c.key, most, i+1, at)
		default:
			continue
		}
		return
	}
}
