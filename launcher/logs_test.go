package launcher_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/dengine/dengine/launcher"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	c := up(t, nil)
	var b bytes.Buffer
	if err := c.Logs(t.Context(), "n2", 5, false, &b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != `{"level":"info","msg":"starting","node":"n2"}`+"\n" {
		t.Errorf("logs of n2: %q", got)
	}
	b.Reset()
	if err := c.Logs(t.Context(), "", 5, false, &b); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2", "n3", "lb"} {
		if !strings.Contains(b.String(), name+" | ") {
			t.Errorf("%s is not in %q", name, b.String())
		}
	}
	if err := c.Logs(t.Context(), "n9", 5, false, &b); err == nil || !strings.Contains(err.Error(), "n1, n2, n3, lb") {
		t.Errorf("logs of nobody: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	followed := &syncBuffer{}
	done := make(chan error, 1)
	go func() { done <- c.Logs(ctx, "n2", 1, true, followed) }()
	starts := func(n int) func() bool {
		return func() bool { return strings.Count(followed.String(), "starting") == n }
	}
	eventually(t, "the last line, and what comes is followed", starts(1))
	c.do(launcher.ActionRestart, "n2")
	eventually(t, "the new run's line is followed", starts(2))
	cancel()
	if err := <-done; err != nil {
		t.Errorf("following that is ended: %v", err)
	}
	// One that follows does not hold up the end.
	go func() { done <- c.Logs(t.Context(), "", 0, true, &syncBuffer{}) }()
	c.cancel()
	c.waitEnd()
	<-done
}
