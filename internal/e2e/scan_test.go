package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// Reads of many keys through the balancer: each page may come from another node, and
// together they are every key once; POST /kv/get is not for the leader alone, since it is
// a read.
func TestReadsOfManyKeysThroughTheBalancer(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{})
	front := "http://" + c.Front
	const keys = 30
	var want []string
	for i := range keys {
		key := fmt.Sprintf("many/%02d", i)
		want = append(want, key)
		if a := c.Do(http.MethodPut, front+"/kv/"+key, "v"); a.Status != http.StatusOK {
			t.Fatalf("%+v", a)
		}
	}
	served := make(map[string]bool)
	var got []string
	cursor := ""
	for {
		a := c.Do(http.MethodGet, front+"/kv?prefix=many/&limit=3&cursor="+cursor, "")
		var p struct {
			Items  []struct{ Key string }
			Cursor string
		}
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
		served[a.Header.Get("Dengine-Node")] = true
		for _, it := range p.Items {
			got = append(got, it.Key)
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("pages give %q", got)
	}
	if len(served) < 2 {
		t.Errorf("pages came from %v only", served)
	}
	served = make(map[string]bool)
	for range 3 * len(c.Nodes) {
		a := c.Do(http.MethodPost, front+"/kv/get", `{"keys":["many/00","none"]}`, "Content-Type", "application/json")
		if a.Status != http.StatusOK || !strings.Contains(a.Body, `{"key":"many/00","found":true,"value":"v",`) || !strings.Contains(a.Body, `{"key":"none","found":false}`) {
			t.Fatalf("%+v", a)
		}
		served[a.Header.Get("Dengine-Node")] = true
	}
	if len(served) < 2 {
		t.Errorf("POST /kv/get was served by %v only", served)
	}
}
