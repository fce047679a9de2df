// Command dengine-up runs a local dengine cluster in the foreground: nodes and
// a balancer, as processes of its own. Its other commands (status, kill, …)
// talk to the running one. Everything it does is package launcher's; here are
// flags, signals and wiring.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/dengine/dengine/internal/settings"
)

func main() {
	if err := run(context.Background(), os.Args, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "dengine-up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a := newApp(args, stdout, stderr)
	return a.cli.RunContext(ctx, settings.Hoist(args, a.cli))
}
