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
	harness.Eventually(t, "pages from two nodes", func() error { // after a stall the leader may serve alone for a while
		served := make(map[string]bool)
		var got []string
		for cursor, more := "", true; more; more = cursor != "" {
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
			cursor = p.Cursor
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("pages give %q", got)
		}
		return fromTwo(served)
	})
	served := make(map[string]bool)
	harness.Eventually(t, "answers to POST /kv/get from two nodes", func() error {
		a := c.Do(http.MethodPost, front+"/kv/get", `{"keys":["many/00","none"]}`, "Content-Type", "application/json")
		if a.Status != http.StatusOK || !strings.Contains(a.Body, `{"key":"many/00","found":true,"value":"v",`) || !strings.Contains(a.Body, `{"key":"none","found":false}`) {
			t.Fatalf("%+v", a)
		}
		served[a.Header.Get("Dengine-Node")] = true
		return fromTwo(served)
	})
}

// fromTwo is nil where two nodes have served.
func fromTwo(served map[string]bool) error {
	if len(served) < 2 {
		return fmt.Errorf("they came from %v only", served)
	}
	return nil
}
