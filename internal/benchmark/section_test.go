package benchmark_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

const (
	readsFrom, readsTo = "<!-- make bench writes reads from here -->\n", "<!-- to here: reads -->\n"
	otherFrom, otherTo = "<!-- make bench writes other from here -->\n", "<!-- to here: other -->\n"
)

func document(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A section is replaced, again and again, and nothing around it is.
func TestWriteSection(t *testing.T) {
	t.Parallel()
	file := document(t, "# By hand\n"+otherFrom+"old\n"+otherTo+readsFrom+"old\n"+readsTo+"The end, by hand.")
	for _, text := range []string{"first\n", "| a |\n|---|\n", "| a |\n|---|\n"} {
		if err := benchmark.WriteSection(file, "reads", text); err != nil {
			t.Fatal(err)
		}
		want := "# By hand\n" + otherFrom + "old\n" + otherTo + readsFrom + "\n" + text + "\n" + readsTo + "The end, by hand."
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestSameSection(t *testing.T) {
	t.Parallel()
	file := document(t, readsFrom+readsTo)
	if err := benchmark.SameSection(file, "reads", ""); err != nil {
		t.Error(err)
	}
	if err := benchmark.WriteSection(file, "reads", "5 times"); err != nil {
		t.Fatal(err)
	}
	if err := benchmark.SameSection(file, "reads", "5 times\n"); err != nil {
		t.Error(err)
	}
	if err := benchmark.SameSection(file, "reads", "6 times"); err == nil {
		t.Error("figures that were changed by hand pass")
	}
}

// A file whose marks do not say where is left alone.
func TestWriteSectionWantsItsMarks(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"none":     "# By hand\n",
		"no end":   readsFrom + "old\n",
		"twice":    readsFrom + readsTo + readsFrom + readsTo,
		"begins":   readsFrom + readsFrom + readsTo,
		"ends":     readsFrom + readsTo + readsTo,
		"in wrong": readsTo + "between\n" + readsFrom,
	} {
		file := document(t, text)
		if err := benchmark.WriteSection(file, "reads", "new"); err == nil || !strings.Contains(err.Error(), "section reads") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := benchmark.WriteSection(filepath.Join(t.TempDir(), "none"), "reads", "new"); err == nil {
		t.Error("a file that is not there was written")
	}
}
