package lb

import (
	"bufio"
	"math/big"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// scanned is a writer that has looked at a head with these lines, or nil where it is
// no head.
func scanned(fields string) *headWriter {
	var h fasthttp.RequestHeader
	w := new(headWriter)
	in := bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n"))
	if h.Read(in) != nil || w.scan(&h) != "" {
		return nil
	}
	return w
}

// Reads see the client's own writes whatever index it asks for itself, and however
// it writes that; what is no index is left for the node to refuse.
func TestMinIndexOfTheClient(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct {
		index  uint64
		raised bool
	}{
		"":                            {5, true},
		"3":                           {5, true},
		"7":                           {7, false},
		strings.Repeat("0", 40):       {5, true},
		strings.Repeat("0", 40) + "7": {7, false},
		"18446744073709551615":        {1<<64 - 1, false},
		"18446744073709551616":        {0, false},
		"+7":                          {0, false},
		"7 7":                         {0, false},
	} {
		index, raised := scanned("Dengine-Min-Index: " + value + "\r\n").require(5)
		if index != want.index || raised != want.raised {
			t.Errorf("%q: %d, %v; want %+v", value, index, raised, want)
		}
	}
}

// Whatever a client asks for, it is understood as nodes understand it: digits make a
// number below 2^64.
func FuzzMinIndex(f *testing.F) {
	for _, s := range []string{"7", "00000000000000000000000000000000007", "18446744073709551616", "1e3", " 7\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		w := scanned("Dengine-Min-Index: " + value + "\r\n")
		value = strings.Trim(value, " \t")
		if w == nil || value == "" || strings.ContainsAny(value, "\r\n") {
			return
		}
		want := uint64(0)
		if n, ok := new(big.Int).SetString(value, 10); ok && n.IsUint64() && strings.Trim(value, "0123456789") == "" {
			want = max(n.Uint64(), 1)
		}
		if got, _ := w.require(1); got != want {
			t.Errorf("%q: %d, want %d", value, got, want)
		}
	})
}
