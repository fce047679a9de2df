package benchmark

import (
	"fmt"
	"os"
	"strings"
)

// WriteSection puts text in the place of what stands in a file between the two
// marks of a section, which people put there by hand:
//
//	<!-- make bench writes reads from here -->
//	<!-- to here: reads -->
//
// The rest of the file stays as it is. Where there are no such marks, or more than
// one pair, nothing is written.
func WriteSection(file, name, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("section %s: %w", name, err)
	}
	from, to, err := findSection(string(document), name)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	out := string(document[:from]) + frame(text) + string(document[to:])
	return os.WriteFile(file, []byte(out), 0o644)
}

// SameSection says with an error that the section of a file is not this text: the
// figures in it were changed by hand, or are of another run than the one given.
func SameSection(file, name, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("section %s: %w", name, err)
	}
	from, to, err := findSection(string(document), name)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if string(document[from:to]) != frame(text) {
		return fmt.Errorf("%s: section %s is not what its results make", file, name)
	}
	return nil
}

// frame sets a section that is not empty off from the marks around it.
func frame(text string) string {
	if text = strings.Trim(text, "\n"); text == "" {
		return ""
	}
	return "\n" + text + "\n\n"
}

// findSection is where a section's text begins and ends.
func findSection(document, name string) (from, to int, err error) {
	begin, end := "<!-- make bench writes "+name+" from here -->\n", "<!-- to here: "+name+" -->\n"
	if strings.Count(document, begin) != 1 || strings.Count(document, end) != 1 {
		return 0, 0, fmt.Errorf("section %s: want each of these lines once: %s and %s", name, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	from, to = strings.Index(document, begin)+len(begin), strings.Index(document, end)
	if to < from {
		return 0, 0, fmt.Errorf("section %s ends before it begins", name)
	}
	return from, to, nil
}
