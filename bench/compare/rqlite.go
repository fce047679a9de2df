package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dengine/dengine/internal/harness"
)

// rqlited is rqlite's program. It has no package that could be part of this one, as
// etcd has, so that it is measured where it is installed.
const rqlited = "rqlited"

// rqlite is a cluster of three nodes, with rqlite's own default settings.
type rqlite struct {
	members []*harness.Process
	leader  string // its address for clients
	client  http.Client
}

// startRqlite returns a cluster that has a table of keys and values.
func startRqlite(t harness.T, path string) *rqlite {
	t.Helper()
	const size = 3
	r := &rqlite{client: http.Client{Timeout: harness.Patience}}
	dir, ports := t.TempDir(), harness.FreePorts(t, 2*size)
	for i := range size {
		name := fmt.Sprintf("rqlite%d", i+1)
		p := harness.Foreign(t, dir, path, []string{
			"-node-id", name, "-http-addr", ports[i], "-raft-addr", ports[size+i],
			"-bootstrap-expect", fmt.Sprint(size), "-join", strings.Join(ports[size:], ","), filepath.Join(dir, name),
		})
		p.Name, p.HTTP = name, ports[i]
		r.members = append(r.members, p)
	}
	t.Cleanup(r.client.CloseIdleConnections)
	harness.Eventually(t, "a table in rqlite", func() error {
		if err := r.look(); err != nil {
			return err
		}
		return r.execute("CREATE TABLE IF NOT EXISTS kv (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID")
	})
	// A statement that is refused has the status 200 too: what is measured is tried here.
	if err := r.execute(rqlitePut, writtenKey(0), value); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rqlite) pids() []int { return pids(r.members) }

// look asks every member who leads.
func (r *rqlite) look() error {
	leader := ""
	for _, p := range r.members {
		var nodes map[string]struct {
			API    string `json:"api_addr"`
			Leader bool   `json:"leader"`
		}
		if err := r.ask(http.MethodGet, p.HTTP, "/nodes", "", &nodes); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		says := ""
		for _, n := range nodes {
			if n.Leader {
				says = strings.TrimPrefix(n.API, "http://")
			}
		}
		if says == "" || len(nodes) != len(r.members) || leader != "" && says != leader {
			return fmt.Errorf("%s sees %d nodes and the leader %q, another %q", p.Name, len(nodes), says, leader)
		}
		leader = says
	}
	r.leader = leader
	return nil
}

func (r *rqlite) steady(t harness.T) error {
	t.Helper()
	before := r.leader
	harness.Eventually(t, "rqlite's nodes to agree on a leader", r.look)
	if r.leader != before {
		return fmt.Errorf("rqlite's leader changed from %s to %s", before, r.leader)
	}
	return nil
}

// execute runs a statement at the leader.
func (r *rqlite) execute(statement string, parameters ...any) error {
	body, err := json.Marshal([][]any{append([]any{statement}, parameters...)})
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct {
			Error string `json:"error"`
		} `json:"results"`
	}
	if err := r.ask(http.MethodPost, r.leader, rqliteExecute, string(body), &answer); err != nil {
		return err
	}
	if len(answer.Results) != 1 || answer.Results[0].Error != "" {
		return fmt.Errorf("rqlite answers %+v to %s", answer, statement)
	}
	return nil
}

func (r *rqlite) ask(method, addr, path, body string, into any) error {
	q, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := r.client.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", a.Status, b)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

const (
	rqliteExecute = "/db/execute"
	rqlitePut     = "INSERT OR REPLACE INTO kv(k, v) VALUES(?, ?)"
)

// writes has n writes in flight at the leader.
func (r *rqlite) writes(t harness.T, n int) keyed {
	t.Helper()
	next := pick(n)
	leader := &harness.Process{HTTP: r.leader}
	return connected(t, n, []*harness.Process{leader}, 0, func(host string, out []byte) []byte {
		return appendRqlitePut(out, host, writtenKey(next()))
	})
}

const (
	rqliteBefore = `[["` + rqlitePut + `","`
	rqliteBehind = `"]]`
)

// appendRqlitePut appends a request that stores the value under a key, neither of which
// has anything that JSON writes in another way.
func appendRqlitePut(out []byte, host, key string) []byte {
	length := len(rqliteBefore) + len(key) + len(`","`) + len(value) + len(rqliteBehind)
	out = appendHead(append(out, "POST "+rqliteExecute...), host, "\r\nContent-Type: application/json\r\nContent-Length: ")
	out = append(strconv.AppendInt(out, int64(length), 10), "\r\n\r\n"+rqliteBefore...)
	return append(append(append(append(out, key...), `","`...), value...), rqliteBehind...)
}
