// Command dengine-node runs one node of a cluster: Raft, the HTTP key-value API
// and the health port.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/dengine/dengine/internal/logging"
	"github.com/dengine/dengine/internal/settings"
	"github.com/dengine/dengine/node"
	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "dengine-node: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, logs, check := node.DefaultConfig(), logging.Default(), false
	set := settings.New("DENGINE", nodeSettings(&cfg, &logs))
	app := &cli.App{
		Name:            "dengine-node",
		Usage:           "one node of a replicated key-value store",
		UsageText:       "dengine-node [settings]             run a node\n   dengine-node COMMAND … --at ADDR    ask a cluster that runs",
		Version:         node.Version(),
		Flags:           append(set.Flags(), &cli.BoolFlag{Name: "check", Usage: "check the settings, print what is in force, and end", Destination: &check}),
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		Commands:        memberCommands(stdout),
		ExitErrHandler:  func(*cli.Context, error) {}, // run returns it
		OnUsageError:    usageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q: settings are flags, see --help", c.Args().First())
			}
			if err := set.Load(os.LookupEnv); err != nil {
				return err
			}
			if check {
				return errors.Join(set.Print(stdout), cfg.Validate(), logs.Validate())
			}
			log, err := logging.New(logs, stderr)
			if err != nil {
				return err
			}
			return serve(c.Context, cfg, log)
		},
	}
	if len(args) > 1 && app.Command(args[1]) != nil {
		args = settings.Hoist(args, app)
	}
	return app.RunContext(ctx, args)
}

func usageError(_ *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w; --help lists the settings", err)
}

// serve runs the node until ctx ends or it fails.
func serve(ctx context.Context, cfg node.Config, log *zap.Logger) error {
	n, err := node.Open(cfg, log)
	if err != nil {
		return err
	}
	log.Info("node is up", zap.String("node", cfg.ID), zap.String("http", n.HTTPAddr()),
		zap.String("health", n.HealthAddr()), zap.String("raft", n.RaftAddr()), zap.String("data_dir", cfg.DataDir))
	select {
	case <-ctx.Done():
		log.Info("stopping", zap.String("node", cfg.ID))
	case <-n.Done():
	}
	closed := n.Close()
	return errors.Join(n.Err(), closed)
}
