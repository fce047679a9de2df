package node_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/node"
)

// readers are the two requests that read many keys, here those that begin with s/.
var readers = []func(c *cluster, i int, query string, headers ...string) answer{
	func(c *cluster, i int, query string, headers ...string) answer {
		return c.do("GET", c.api(i, "/kv?prefix=s/&"+query), "", headers...)
	},
	func(c *cluster, i int, query string, headers ...string) answer {
		return c.do("POST", c.api(i, "/kv/get?"+query), `{"keys":["s/a","s/b"]}`, headers...)
	},
}

// Unless it is told otherwise every node sees what was acknowledged before.
func TestReadsOfManyKeysAreLinearizable(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	for i := range 40 {
		want := `"value":"` + strconv.Itoa(i) + `"`
		c.write("s/a", strconv.Itoa(i))
		c.write("s/b", strconv.Itoa(i))
		read := readers[i%2] // one of them: it would give the other one time
		for j := range c.nodes {
			if a := read(c, j, ""); a.status != 200 || strings.Count(a.body, want) != 2 {
				t.Fatalf("at %s: %+v, want %s twice", c.configs[j].ID, a, want)
			}
		}
	}
}

// Each level's promise, and each refusal, is that of reads of one key.
func TestLevelsOfReadsOfManyKeys(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick, func(cfg *node.Config) { cfg.ReadTimeout = time.Second })
	l := c.write("s/a", "1")
	index := c.do("GET", c.api(l, "/kv/s/a"), "").header.Get("Dengine-Index")
	for i := range c.nodes {
		for _, read := range readers {
			a := read(c, i, "consistency=eventual", "Dengine-Min-Index: "+index)
			if a.status != 200 || !strings.Contains(a.body, `"value":"1"`) {
				t.Errorf("what was written, at %s: %+v", c.configs[i].ID, a)
			}
		}
	}
	for _, i := range c.others(l) {
		c.stop(i)
	}
	for _, s := range []struct {
		query, header string
		status        int
		code          string
	}{
		{"", "", 503, "no_leader"},
		{"consistency=linearizable", "", 503, "no_leader"},
		{"", "Dengine-Consistency: lease", 503, "no_leader"},
		{"consistency=eventual", "", 200, ""},
		{"", "Dengine-Consistency: eventual", 200, ""},
		{"consistency=eventual&max_staleness=1ms", "", 503, "too_stale"},
		{"consistency=eventual", "Dengine-Max-Staleness: 1ms", 503, "too_stale"},
	} {
		headers := []string{"X-Other: none"}
		if s.header != "" {
			headers[0] = s.header
		}
		for _, read := range readers {
			a := read(c, l, s.query, headers...)
			if a.status != s.status || a.code() != s.code || (a.header.Get("Retry-After") != "") != (s.status == 503) {
				t.Errorf("%s %s without a majority: %+v, want %d %s", s.query, s.header, a, s.status, s.code)
			}
		}
	}
}

func TestWeakerReadsOfManyKeysAreForbidden(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, func(cfg *node.Config) { cfg.WeakerReads = false })
	for _, read := range readers {
		a := read(c, 0, "consistency=eventual")
		if a.status != 403 || a.code() != "consistency_forbidden" {
			t.Errorf("%+v", a)
		}
	}
}
