package kv_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dengine/dengine/node/internal/kv"
)

// scanned is what a scan visited, as "key=value", and what it left over.
func scanned(m *kv.Machine, prefix, start string, limit, maxBytes int) (got []string, next string, more bool) {
	next, more = m.Items().Scan(prefix, start, limit, maxBytes, func(key string, it kv.Item) {
		got = append(got, key+"="+string(it.Value))
	})
	return got, next, more
}

func TestScan(t *testing.T) {
	t.Parallel()
	m := new(kv.Machine)
	apply(m, put("b", "2"), put("a", "1"), put("gone", "x"), put("a/", "3"), put("a/\xff", "4"), put("a/\xff\xff", "5"),
		put("a0", "6"), put("\xff", "7"), put("\xff\xff", "8"), put("\x00", "9"), del("gone"))
	const plenty = 1 << 20
	for _, c := range []struct {
		name, prefix, start string
		limit, maxBytes     int
		want, next          string // keys with spaces between; "" where none is left over
	}{
		{"all, in byte order", "", "", 100, plenty, "\x00=9 a=1 a/=3 a/\xff=4 a/\xff\xff=5 a0=6 b=2 \xff=7 \xff\xff=8", ""},
		{"a prefix and where it ends", "a/", "", 100, plenty, "a/=3 a/\xff=4 a/\xff\xff=5", ""},
		{"a prefix of 0xff", "\xff", "", 100, plenty, "\xff=7 \xff\xff=8", ""},
		{"a prefix that no key has", "a/x", "", 100, plenty, "", ""},
		{"a prefix behind all", "\xff\xff\xff", "", 100, plenty, "", ""},
		{"from a start that is there", "a/", "a/\xff", 100, plenty, "a/\xff=4 a/\xff\xff=5", ""},
		{"from a start that is not there", "", "a/\x01", 3, plenty, "a/\xff=4 a/\xff\xff=5 a0=6", "b"},
		{"from a start before the prefix", "a/", "a", 100, plenty, "a/=3 a/\xff=4 a/\xff\xff=5", ""},
		{"from a start behind the prefix", "a/", "b", 100, plenty, "", ""},
		{"a limit", "a", "", 2, plenty, "a=1 a/=3", "a/\xff"},
		{"a limit that is met exactly", "a/", "", 3, plenty, "a/=3 a/\xff=4 a/\xff\xff=5", ""},
		{"bytes that are met exactly", "a", "", 100, 2 + 3, "a=1 a/=3", "a/\xff"},
		{"a byte less", "a", "", 100, 2 + 2, "a=1", "a/"},
		{"bytes for none: still one", "a", "", 100, 1, "a=1", "a/"},
		{"a limit of none: still one", "a", "", 0, plenty, "a=1", "a/"},
	} {
		got, next, more := scanned(m, c.prefix, c.start, c.limit, c.maxBytes)
		if strings.Join(got, " ") != c.want || next != c.next || more != (c.next != "") {
			t.Errorf("%s: got %q, next %q (%v), want %q, next %q", c.name, got, next, more, c.want, c.next)
		}
	}
	if got, _, more := scanned(new(kv.Machine), "", "", 100, plenty); len(got) != 0 || more {
		t.Errorf("an empty state: %q, %v", got, more)
	}
}

// Pages that begin where the one before has ended give every key once, whatever
// their sizes are.
func TestScanPages(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		m := new(kv.Machine)
		var want []string
		for range rnd.IntN(300) {
			key := fmt.Sprintf("%x", rnd.IntN(2000))
			apply(m, put(key, "v"))
			want = append(want, key)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		prefix := []string{"", "1", "f", "12"}[rnd.IntN(4)]
		want = slices.DeleteFunc(want, func(k string) bool { return !strings.HasPrefix(k, prefix) })
		var got []string
		for start, more := "", true; more; {
			var page []string
			page, start, more = scanned(m, prefix, start, rnd.IntN(20), 1+rnd.IntN(50))
			for _, item := range page {
				got = append(got, strings.TrimSuffix(item, "=v"))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d, prefix %q: pages give\n%q, want\n%q", round, prefix, got, want)
		}
	}
}
