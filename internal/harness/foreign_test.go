package harness_test

import (
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// Programs say their version where, and with the exit code, that they like.
func TestVersion(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"echo one; echo two":   "one",
		"echo three >&2":       "three",
		"echo ' four'; exit 1": "four",
	} {
		if got, err := harness.Version("sh", "-c", script); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", script, got, err, want)
		}
	}
	if _, err := harness.Version("sh", "-c", "exit 1"); err == nil || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("a program that says nothing: %v", err)
	}
	if _, err := harness.Version("no-such-program"); err == nil || !strings.Contains(err.Error(), "install the Debian package no-such-program") {
		t.Errorf("a program that is not here: %v", err)
	}
}
