package chaos

import (
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := WriteTable(&out, []Row{
		{Level: "lease", Fault: "kill", Seed: 7, Operations: 9, PerSecond: 3, Healthy: 4, Reads: 5, Leased: 4, Unknown: 1, Elections: 2, Faults: 2, Verdict: Kept, Reasons: map[string]int{"read: EOF": 6}},
		Unfinished(Setup{Promise: Promise{Level: "eventual", MaxStaleness: time.Second}, Fault: Fault{Name: "pause"}, Seed: 8}, "no leader"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `| round | level | fault | operations | ops/s | healthy ops/s | reads | leased | unknown outcomes | elections | faults caused | seed | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
| 1 | lease | kill | 9 | 3 | 4 | 5 | 4 | 1 | 2 | 2 | 7 | OK |
| 2 | eventual, 1s | pause | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 8 | FAILED |

- round 1: 6 × read: EOF
- round 2: it did not come to its end: no leader
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
