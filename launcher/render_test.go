package launcher_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/dengine/dengine/launcher"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func node(i int, role string) launcher.NodeStatus {
	digit := string(rune('0' + i))
	return launcher.NodeStatus{
		ProcessStatus: launcher.ProcessStatus{Name: "n" + digit, State: launcher.StateRunning, PID: 4100 + i, Started: noon.Add(-time.Hour), Uptime: 3600, Log: "/data/logs/n" + digit + ".log"},
		HTTP:          "127.0.0.1:808" + digit, Health: "127.0.0.1:1000" + digit, Raft: "127.0.0.1:908" + digit,
		Role: role, Term: 4, Primary: role == "leader", Ready: true, Applied: 120,
	}
}

func status() launcher.Status {
	return launcher.Status{
		PID: 4000, Started: noon.Add(-time.Hour), At: noon, Ready: true, Dir: "/data", Leader: "n2", Term: 4,
		Quorum: launcher.Quorum{Nodes: 3, Running: 3, Needed: 2, OK: true},
		Nodes:  []launcher.NodeStatus{node(1, "follower"), node(2, "leader"), node(3, "follower")},
		Balancer: &launcher.FrontStatus{
			ProcessStatus: launcher.ProcessStatus{Name: "lb", State: launcher.StateRunning, PID: 4104, Started: noon.Add(-time.Minute), Uptime: 60, Log: "/data/logs/lb.log"},
			Kind:          launcher.BalancerDengine, HTTP: "127.0.0.1:8080", Admin: "127.0.0.1:8088",
		},
	}
}

// hurt is a cluster with one of everything that can be wrong.
func hurt() launcher.Status {
	s := status()
	end := noon.Add(-time.Second)
	for i, state := range []launcher.State{launcher.StateKilled, launcher.StatePaused} {
		n := &s.Nodes[i]
		n.State, n.Role, n.Term, n.Primary, n.Ready, n.Applied = state, "", 0, false, false, 0
	}
	s.Nodes[0].PID, s.Nodes[0].Uptime, s.Nodes[0].Ended, s.Nodes[0].Exit = 0, 0, &end, &launcher.Exit{Code: -1, Signal: "SIGKILL"}
	s.Nodes[2].Role, s.Nodes[2].Ready, s.Nodes[2].Lag, s.Nodes[2].Reason = "candidate", false, 3, "no leader is known"
	s.Balancer.State, s.Balancer.PID, s.Balancer.Exit = launcher.StateExited, 0, &launcher.Exit{Code: 1}
	s.Leader, s.Quorum = "", launcher.Quorum{Nodes: 3, Running: 1, Needed: 2}
	return s
}

func TestStatusTable(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]launcher.Status{"well": status(), "hurt": hurt()} {
		var b bytes.Buffer
		if err := launcher.RenderStatus(&b, s); err != nil {
			t.Fatal(err)
		}
		golden(t, "status-"+name+".golden", b.String())
		raw, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "status-"+name+".json", string(raw)+"\n")
	}
}

func TestReadyTable(t *testing.T) {
	t.Parallel()
	whole, bare := status(), status()
	bare.Balancer, bare.Temporary = nil, true
	for name, tc := range map[string]struct {
		status  launcher.Status
		command string
	}{
		"lb":   {whole, "dengine-up"},
		"none": {bare, "./bin/dengine-up --port-offset 100"},
	} {
		var b bytes.Buffer
		e := launcher.Event{Time: noon, Kind: launcher.EventReady, Message: "3 nodes are ready after 1.2 s; n2 leads in term 4", Status: &tc.status}
		if err := launcher.RenderEvent(&b, e, tc.command); err != nil {
			t.Fatal(err)
		}
		golden(t, "ready-"+name+".golden", b.String())
	}
}

func TestEventLines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for _, e := range []launcher.Event{
		{Time: noon, Kind: launcher.EventLeader, Message: "n1 died (SIGKILL); n3 leads in term 4; no leader for 38 ms"},
		{Time: noon, Kind: launcher.EventExit, Message: "n2 exited (code 1)", Log: []string{"disk full", "giving up"}, Start: "n2"},
	} {
		if err := launcher.RenderEvent(&b, e, "dengine-up"); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "events.golden", b.String())
}
