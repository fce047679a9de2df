package chaos

import (
	"testing"
	"time"
)

// told is an answer to a write of an identity.
type told struct {
	at       time.Duration // of the request; the answer comes at once, if it comes
	result   Result
	replayed bool
	tag      string
	writes   uint64
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	const s, k = sessionLife, keyLife
	for _, tt := range []struct {
		name string
		good bool
		kind string
		told []told
		most uint64 // writes that a scan may see; one more is one too many
	}{
		{"a session's repeat", true, inSession, []told{{0, OK, false, "1", 1}, {1, OK, true, "1", 1}}, 1},
		{"executed again", false, inSession, []told{{0, OK, false, "1", 1}, {1, OK, false, "2", 2}}, 0},
		{"another answer", false, inSession, []told{{0, OK, false, "1", 1}, {1, OK, true, "2", 1}}, 0},
		{"over before its time", false, inSession, []told{{0, OK, false, "1", 1}, {1, Failed, false, "", 0}}, 0},
		{"over", true, inSession, []told{{0, OK, false, "1", 1}, {s + 1, Failed, false, "", 0}}, 1},
		{"not over yet", true, inSession, []told{{0, OK, false, "1", 1}, {s + 1, OK, true, "1", 1}}, 1},
		{"over, and executed again", false, inSession, []told{{0, OK, false, "1", 1}, {s + 1, OK, false, "2", 2}}, 0},
		{"a use keeps it", false, inSession, []told{{0, OK, false, "1", 1}, {s - 1, OK, true, "1", 1}, {s + 1, Failed, false, "", 0}}, 0},
		{"a repeat without an answer", true, inSession, []told{{0, OK, false, "1", 1}, {s + 1, Unknown, false, "", 0}}, 1},
		{"written twice at once", false, inSession, []told{{0, OK, false, "1", 2}}, 0},
		{"nobody knows", true, inSession, []told{{0, Unknown, false, "", 0}}, 1},

		{"a key's repeat", true, underKey, []told{{0, OK, false, "1", 1}, {1, OK, true, "1", 1}}, 1},
		{"executed again in its time", false, underKey, []told{{0, OK, false, "1", 1}, {k - 1, OK, false, "2", 2}}, 0},
		{"a key that is over is a new one", true, underKey, []told{{0, OK, false, "1", 1}, {k + 1, OK, false, "2", 2}}, 2},
		{"a new one, sent again on its way", true, underKey, []told{{0, OK, false, "1", 1}, {k + 1, OK, true, "2", 2}}, 2},
		{"a new one, twice", false, underKey, []told{{0, OK, false, "1", 1}, {k + 1, OK, false, "3", 3}}, 0},
		{"or not yet", true, underKey, []told{{0, OK, false, "1", 1}, {k + 1, OK, true, "1", 1}}, 1},
		{"new, with the old answer", false, underKey, []told{{0, OK, false, "1", 1}, {k + 1, OK, true, "2", 1}}, 0},
		{"an unknown repeat may come late", true, underKey, []told{{0, OK, false, "1", 1}, {k + 1, Unknown, false, "", 0}}, 2},
		{"a session's answer to a key", false, underKey, []told{{0, OK, false, "1", 1}, {k + 1, Failed, false, "", 0}}, 0},
	} {
		key := "expiry-" + tt.kind + "1"
		var h []Op
		for i, a := range tt.told {
			o := Op{Key: key, Kind: Again, Result: a.result, Replayed: a.replayed, Tag: a.tag, Writes: a.writes, Call: a.at, Return: a.at}
			if i == 0 {
				o.Kind = Put
			}
			if a.result == Unknown {
				o.Return = Never
			}
			h = append(h, o)
		}
		if f := (expiry{new(load)}).check(h); (f == nil) != tt.good {
			t.Errorf("%s: %+v, want good %t", tt.name, f, tt.good)
		}
		for extra := range uint64(2) {
			seen := Op{Key: "expiry-", Kind: Scan, Pages: [][]Item{{{key, "v", tt.most + extra}}}}
			if f := (expiry{new(load)}).check(append(h[:len(h):len(h)], seen)); tt.good && (f == nil) != (extra == 0) {
				t.Errorf("%s, seen with %d writes: %+v", tt.name, tt.most+extra, f)
			}
		}
	}
}
