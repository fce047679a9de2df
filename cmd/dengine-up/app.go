package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dengine/dengine/launcher"
	"github.com/urfave/cli/v2"
)

const (
	flagSocket     = "socket"
	flagPortOffset = "port-offset"
)

// app is the command line and what its flags set.
type app struct {
	cli            *cli.App
	config         launcher.Config
	balancer       string
	argv0          string
	stdout, stderr io.Writer
}

func newApp(args []string, stdout, stderr io.Writer) *app {
	a := &app{config: launcher.DefaultConfig(), stdout: stdout, stderr: stderr, argv0: "dengine-up"}
	if len(args) > 0 {
		a.argv0 = args[0]
	}
	a.cli = &cli.App{
		Name:      "dengine-up",
		Usage:     "run a local dengine cluster: nodes and a balancer",
		UsageText: "dengine-up [flags]                  start, and stay until Ctrl-C\n   dengine-up [flags] COMMAND …        talk to the one that runs",
		Description: "Nodes listen on HTTP 8081.., health 10001.., Raft 9081..; the balancer on 8080\n" +
			"(admin 8088); all on 127.0.0.1, all plus --port-offset. A node that ends is not\n" +
			"started again by itself: the others go on, and \"start\" brings it back.",
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // main alone prints errors and exits
		OnUsageError:    usageError,
		Flags:           a.flags(),
		Commands:        a.commands(),
		Action:          a.up,
	}
	return a
}

func usageError(c *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w; see %s --help", err, c.App.Name)
}

func (a *app) flags() []cli.Flag {
	env := func(name string) []string { return []string{"DENGINE_UP_" + name} }
	cfg := &a.config
	return []cli.Flag{
		&cli.IntFlag{Name: "nodes", Usage: "how many nodes: 1, 3, 5 or 7 (default: what --data-dir remembers, else 3)", DefaultText: "3", Destination: &cfg.Nodes, EnvVars: env("NODES")},
		&cli.StringFlag{Name: "data-dir", Usage: "keep data and logs in this folder (default: a temporary one, removed at the end)", Destination: &cfg.DataDir, EnvVars: env("DATA_DIR")},
		&cli.IntFlag{Name: flagPortOffset, Usage: "add this to every port", Destination: &cfg.PortOffset, EnvVars: env("PORT_OFFSET")},
		&cli.DurationFlag{Name: "wait", Usage: "how long everything may take to be ready", Value: cfg.Wait, Destination: &cfg.Wait, EnvVars: env("WAIT")},
		&cli.StringFlag{Name: "lb", Usage: "balancer: dengine, haproxy or none", Value: string(cfg.Balancer), Destination: &a.balancer, EnvVars: env("LB")},
		&cli.StringFlag{Name: "log-level", Usage: "of nodes and balancer: debug, info, warn or error", Value: cfg.LogLevel, Destination: &cfg.LogLevel, EnvVars: env("LOG_LEVEL")},
		&cli.BoolFlag{Name: "json", Usage: "print events as JSON lines", Destination: &cfg.JSON, EnvVars: env("JSON")},
		&cli.StringFlag{Name: flagSocket, Usage: "path of the control socket", Destination: &cfg.Socket, EnvVars: env("SOCKET")},
		&cli.StringFlag{Name: "node-bin", Usage: "the dengine-node program (default: beside dengine-up, then PATH)", Destination: &cfg.NodeBin, EnvVars: env("NODE_BIN")},
		&cli.StringFlag{Name: "lb-bin", Usage: "the dengine-lb program (default: beside dengine-up, then PATH)", Destination: &cfg.LBBin, EnvVars: env("LB_BIN")},
		&cli.GenericFlag{Name: "node-arg", Usage: "one more argument for every node (may be repeated): --node-arg=--heartbeat-timeout=200ms", Value: (*arguments)(&cfg.NodeArgs)},
	}
}

// arguments collects a repeated flag as it comes; cli's own slice flag would
// split at commas.
type arguments []string

func (a *arguments) Set(s string) error { *a = append(*a, s); return nil }
func (a *arguments) String() string     { return strings.Join(*a, " ") }

// socket settles the control socket's path.
func (a *app) socket() string {
	if a.config.Socket != "" {
		return a.config.Socket
	}
	return launcher.DefaultSocket(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), os.Getuid(), a.config.PortOffset)
}

// command is how the user calls this program, and what leads to its socket.
func (a *app) command() string {
	words := []string{a.argv0}
	if !strings.Contains(a.argv0, "/") {
		words[0] = filepath.Base(a.argv0)
	}
	if a.config.PortOffset != 0 {
		words = append(words, "--"+flagPortOffset, strconv.Itoa(a.config.PortOffset))
	}
	if a.config.Socket != "" {
		words = append(words, "--"+flagSocket, a.config.Socket)
	}
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// quote makes a word that a shell reads as it is.
func quote(w string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:@%+,", r)
	}
	if w != "" && strings.IndexFunc(w, func(r rune) bool { return !plain(r) }) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
