package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
)

// What rqlite is sent is one statement with its parameters, as long as the head says.
func TestRqlitePut(t *testing.T) {
	t.Parallel()
	in := bufio.NewReader(bytes.NewReader(appendRqlitePut(nil, "x:4001", writtenKey(7))))
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil || len(got) != 1 || !slices.Equal(got[0], []string{rqlitePut, writtenKey(7), value}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := r.Body.Read(make([]byte, 1)); in.Buffered() > 0 || err == nil {
		t.Errorf("something follows the statement: %v", err)
	}
	if r.Method != http.MethodPost || r.URL.Path != rqliteExecute || r.Host != "x:4001" {
		t.Errorf("%s %s of %s", r.Method, r.URL, r.Host)
	}
}
