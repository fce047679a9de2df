package launcher

import "strings"

// wordLines is how many log lines are shown of a process that has ended.
const wordLines = 8

// lastWords picks the lines that say why a process ended: its last ones, or
// the head of a Go panic, whose end is only the stacks of goroutines that had
// no part in it.
func lastWords(lines []string) []string {
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return lines[i:min(i+wordLines, len(lines))]
		}
	}
	return lines[max(0, len(lines)-wordLines):]
}
