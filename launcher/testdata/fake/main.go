// Command fake stands in for dengine-node and dengine-lb in the launcher's
// tests, by the name it is called. Its nodes hold elections through a file
// beside their data folders, and keep no data worth the name; what is real is
// all that a launcher sees of them: command line, ports, health contract, log
// lines, signals and exit codes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	run := runNode
	if filepath.Base(os.Args[0]) == "dengine-lb" {
		run = runLB
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, filepath.Base(os.Args[0])+":", err)
		os.Exit(1)
	}
}
