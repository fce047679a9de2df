package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// These run one after the other: cli keeps its help flag in a global.

func TestMistakesAreNamed(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("id = \"n1\"\nheartbeat = \"1s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	member := "id=n1,raft=127.0.0.1:9081,http=127.0.0.1:8081,health=127.0.0.1:10001"
	good := []string{"--id", "n1", "--data-dir", t.TempDir(), "--initial-cluster", member}
	with := func(more ...string) []string { return append(append([]string(nil), good...), more...) }
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "id is missing"},
		{[]string{"--id", "n1"}, "data dir is missing"},
		{[]string{"--id", "n 1"}, `id "n 1": want`},
		{[]string{"--id", "n1", "--data-dir", "x"}, "initial cluster has 0 members"},
		{with("--initial-cluster", "id=n2,raft=127.0.0.1:9082"), "initial cluster has 2 members"},
		{with("--initial-cluster", "id=n2,raft=127.0.0.1:9081", "--initial-cluster", "id=n3,raft=127.0.0.1:9083"), `"127.0.0.1:9081" of member n2 is also one of member n1`},
		{with("--initial-cluster", "n2"), "want key=value"},
		{with("--id", "n9"), "does not name this node, n9"},
		{with("--http-listen", "nonsense"), `HTTP listen address "nonsense": want host:port`},
		{with("--lease-timeout", "1s"), "lease timeout 1s is longer than the heartbeat timeout 300ms"},
		{with("--heartbeat-timeout", "soon"), "want a duration"},
		{with("--max-value-bytes", "1GiB"), "max value bytes is 1073741824: must be at most"},
		{with("--log-level", "loud"), `log level "loud"`},
		{with("--no-such-flag"), "no-such-flag"},
		{with("stray"), `unexpected argument "stray"`},
		{[]string{"--config", bad}, `unknown setting "heartbeat"`},
		{with("--join"), "names no other node to ask"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"dengine-node"}, append(c.args, "--check")...), &out, &out)
		if len(c.args) > 0 && c.args[len(c.args)-1] == "stray" {
			err = run(t.Context(), append([]string{"dengine-node", "--check"}, c.args...), &out, &out)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.args, err, c.says)
		}
	}
}

func TestMistakesOfCommands(t *testing.T) {
	for args, says := range map[string]string{
		"members":                          "--at is missing",
		"members n1 --at 127.0.0.1:1":      "usage: dengine-node members --at HOST:PORT",
		"remove --at 127.0.0.1:1":          "usage: dengine-node remove ID --at HOST:PORT",
		"remove n2":                        "--at is missing",
		"remove n2 --at 127.0.0.1:1":       "remove n2: ask the node at 127.0.0.1:1",
		"members --at 127.0.0.1:1":         "ask the node at 127.0.0.1:1",
		"members --at=127.0.0.1:1 --bogus": "bogus",
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"dengine-node"}, strings.Fields(args)...), &out, &out)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", args, err, says)
		}
	}
}

func TestRunsUntilToldToStop(t *testing.T) {
	ports := harness.FreePorts(t, 3)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- run(ctx, []string{
			"dengine-node", "--id", "n1", "--data-dir", t.TempDir(),
			"--raft-listen", ports[0], "--http-listen", ports[1], "--health-listen", ports[2],
			"--initial-cluster", fmt.Sprintf("id=n1,raft=%s,http=%s,health=%s", ports[0], ports[1], ports[2]),
		}, &log, &log)
	}()
	harness.Eventually(t, "the node to lead", func() error {
		resp, err := http.Get("http://" + ports[2] + "/primary")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
	var members bytes.Buffer
	if err := run(t.Context(), []string{"dengine-node", "members", "--at", ports[2]}, &members, &members); err != nil || !strings.Contains(members.String(), "n1  leader  yes") {
		t.Errorf("members: %v\n%s", err, members.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v; its log:\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "node is up") {
		t.Errorf("its log:\n%s", log.String())
	}
}
