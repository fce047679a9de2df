package chaos

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// jumps are by how much wall clocks jump.
var jumps = []time.Duration{-8760 * time.Hour, -time.Hour, -5 * time.Second, 5 * time.Second, time.Hour, 8760 * time.Hour}

// jump has the wall clock of a node jump ahead or back, or those of all nodes, each by
// something else. What is promised for a time must not be over sooner: a write with
// an Idempotency-Key is sent again in another year, and must not be executed then.
func jump(f *field, d *dice) (string, func()) {
	victims := []*harness.Process{f.leaderOrAny(d)}
	if d.IntN(2) == 0 {
		victims = f.c.Nodes
	}
	key := fmt.Sprintf("clock-%x", d.Uint64())
	kept := f.writeOnce(key)
	var what []string
	var heals []func()
	for _, p := range victims {
		by := jumps[d.IntN(len(jumps))]
		what = append(what, fmt.Sprintf("%s by %v", p.Name, by))
		heals = append(heals, p.AddFault(fmt.Sprintf("clock %v", by)))
	}
	return "clock jumps: " + strings.Join(what, ", "), func() {
		if a := f.writeOnce(key); kept.Status == http.StatusOK && a.Status == http.StatusOK && a.Header.Get("Idempotency-Replayed") != "true" {
			f.find("an idempotency key was forgotten within seconds, while the clocks of %s had jumped", strings.Join(what, ", "))
		}
		for _, heal := range heals {
			heal()
		}
	}
}

// writeOnce writes through the balancer under an idempotency key. Where it fails, the
// cluster is not whole.
func (f *field) writeOnce(key string) harness.Answer {
	a, err := f.c.Try(http.MethodPut, "http://"+f.c.Front+"/kv/"+key, "once", "Idempotency-Key", key)
	if err != nil {
		return harness.Answer{}
	}
	return a
}
