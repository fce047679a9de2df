package node

import (
	"bytes"
	"encoding/json"
	"testing"
)

// What a JSON string must escape is escaped, and nothing else, wherever it stands.
func TestJSONStringsEscapeWhatTheyMust(t *testing.T) {
	t.Parallel()
	for _, around := range []string{"~", "é", " ", "\x7f"} {
		for before := range 20 {
			for c := range 0x80 {
				s := append(bytes.Repeat([]byte(around), before), byte(c))
				checkJSONString(t, append(s, around+around+around+around+around...))
				checkJSONString(t, append(s, byte(c)))
				checkJSONString(t, s)
			}
		}
	}
}

func checkJSONString(t *testing.T, s []byte) {
	t.Helper()
	var back string
	got := appendJSONString(nil, s)
	if err := json.Unmarshal(got, &back); err != nil || back != string(s) {
		t.Fatalf("%q is %s, which is %q, %v", s, got, back, err)
	}
	if must := bytes.IndexFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) >= 0; !must && len(got) != len(s)+2 {
		t.Fatalf("%q is %s", s, got)
	}
}
