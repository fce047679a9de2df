package launcher

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// clockFormat is the time in front of an event's line.
const clockFormat = "15:04:05"

// RenderEvent writes one event as text: a line with the time, and below it,
// indented, what helps with it. EventReady is the table of everything.
// command is how the user calls dengine-up.
func RenderEvent(w io.Writer, e Event, command string) error {
	var b bytes.Buffer
	if e.Kind == EventReady && e.Status != nil {
		renderReady(&b, e, command)
	} else {
		fmt.Fprintf(&b, "%s %s\n", e.Time.Format(clockFormat), e.Message)
		for _, line := range e.Log {
			fmt.Fprintf(&b, "         | %s\n", line)
		}
		if e.Start != "" {
			fmt.Fprintf(&b, "         start it again with: %s start %s\n", command, e.Start)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func renderReady(b *bytes.Buffer, e Event, command string) {
	s := e.Status
	fmt.Fprintf(b, "%s\n\n", e.Message)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tHTTP\tHEALTH\tRAFT\tPID")
	for _, n := range s.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", n.Name, dash(n.Role), n.HTTP, n.Health, n.Raft, n.PID)
	}
	front := s.Leader
	if f := s.Balancer; f != nil {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t-\t%d\n", f.Name, f.Kind, f.HTTP, f.Admin, f.PID)
	}
	for _, n := range s.Nodes {
		if n.Name == s.Leader {
			front = n.HTTP
		}
	}
	if s.Balancer != nil {
		front = s.Balancer.HTTP
	}
	t.Flush()

	kept := "kept"
	if s.Temporary {
		kept = "temporary: removed at the end"
	}
	fmt.Fprintf(b, "\nData and logs: %s (%s)\n\n", s.Dir, kept)
	url := "localhost:" + portOf(front)
	t = tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"write", "curl -i -X POST " + url + `/kv -H 'Content-Type: application/json' -d '{"key":"username","value":"alice"}'`},
		{"read", "curl " + url + "/kv/username"},
		{"look", command + " status"},
		{"crash the leader", command + " kill leader"},
		{"bring it back", command + " start " + s.Leader},
		{"end everything", command + " down   (or Ctrl-C here)"},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", row[0], row[1])
	}
	t.Flush()
	fmt.Fprintln(b)
}

// RenderStatus writes s as a table with a line of totals.
func RenderStatus(w io.Writer, s Status) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tTERM\tAPPLIED\tLAG\tHTTP\tHEALTH\tRAFT\tPID\tSTATE\tUPTIME")
	for _, n := range s.Nodes {
		term, applied, lag := "-", "-", "-"
		if n.Role != "" {
			term, applied, lag = strconv.FormatUint(n.Term, 10), strconv.FormatUint(n.Applied, 10), strconv.FormatUint(n.Lag, 10)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			n.Name, dash(n.Role), term, applied, lag, n.HTTP, n.Health, n.Raft, pid(n.PID), n.describe(), uptime(n.ProcessStatus))
	}
	if f := s.Balancer; f != nil {
		fmt.Fprintf(t, "%s\t%s\t-\t-\t-\t%s\t%s\t-\t%s\t%s\t%s\n",
			f.Name, f.Kind, f.HTTP, f.Admin, pid(f.PID), f.describe(), uptime(f.ProcessStatus))
	}
	t.Flush()
	b.WriteString("\n" + s.totals() + "\n")
	for _, n := range s.Nodes {
		if n.State == StateRunning && !n.Ready && n.Reason != "" {
			fmt.Fprintf(&b, "%s is not ready: %s\n", n.Name, n.Reason)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// totals is the cluster in one line.
func (s Status) totals() string {
	leader := fmt.Sprintf("no leader (last term %d)", s.Term)
	if s.Leader != "" {
		leader = fmt.Sprintf("%s leads in term %d", s.Leader, s.Term)
	}
	q := s.Quorum
	if q.OK {
		return fmt.Sprintf("%s; %d of %d nodes run, %d are a majority", leader, q.Running, q.Nodes, q.Needed)
	}
	return fmt.Sprintf("%s; %d of %d nodes run, which is no majority (%d): no write can succeed", leader, q.Running, q.Nodes, q.Needed)
}

// describe is the state with what belongs to it: "exited (code 1)".
func (p ProcessStatus) describe() string {
	if p.Exit != nil {
		return fmt.Sprintf("%s (%v)", p.State, p.Exit)
	}
	return string(p.State)
}

func uptime(p ProcessStatus) string {
	if p.PID == 0 {
		return "-"
	}
	return (time.Duration(p.Uptime) * time.Second).String()
}

func pid(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func portOf(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return strings.TrimPrefix(addr, ":")
	}
	return port
}
