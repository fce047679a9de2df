package lb

import (
	"strings"
	"testing"
	"time"
)

// Whatever a backend says of a new session is refused, or a session whose id can
// stand in a head and whose timeout can be waited for.
func FuzzReadSession(f *testing.F) {
	f.Add([]byte(`{"session":"00112233445566778899aabbccddeeff","window":1024,"timeout_ms":60000}`))
	f.Add([]byte(`{"session":"00112233445566778899AABBCCDDEEFF","window":18446744073709551615,"timeout_ms":18446744073711}`))
	f.Add([]byte(`{"session":"x\r\n"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := readSession(body)
		if err != nil {
			return
		}
		if len(s.id) != 32 || strings.Trim(s.id, "0123456789abcdefABCDEF") != "" || s.size == 0 || s.size > maxWindow || s.timeout < time.Millisecond ||
			s.timeout%time.Millisecond != 0 {
			t.Errorf("%q: %q, window %d, timeout %v", body, s.id, s.size, s.timeout)
		}
	})
}
