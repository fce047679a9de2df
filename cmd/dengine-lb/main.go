// Command dengine-lb is the balancer as a program: flags, environment and file
// become a lb.Config, signals become Reload and the end of Run.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/dengine/dengine/internal/settings"
	"github.com/dengine/dengine/lb"
	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "dengine-lb: %v\n", err)
		os.Exit(1)
	}
}

// run is the program: it returns when ctx ends and all is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return parse(args, stdout, stderr, func(o *options, set *settings.Set) error {
		if err := o.cfg.Validate(); err != nil {
			return err
		}
		if o.check {
			return set.Print(stdout)
		}
		return serve(ctx, o, args, stderr)
	})
}

// parse reads all settings and hands them to do. Each call starts from the
// defaults, so that it can be used again to reload.
func parse(args []string, stdout, stderr io.Writer, do func(*options, *settings.Set) error) error {
	o := newOptions()
	o.cfg.Version = version()
	set := settings.New("DENGINE_LB", o.list())
	app := &cli.App{
		Name: "dengine-lb", Usage: "balance HTTP over the nodes of a cluster: writes to the leader, reads to all",
		Version: o.cfg.Version, Flags: set.Flags(), Writer: stdout, ErrWriter: stderr,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // run's caller says it, once
		OnUsageError:    func(_ *cli.Context, err error, _ bool) error { return fmt.Errorf("%w; --help lists the flags", err) },
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q; --help lists the flags", c.Args().First())
			}
			if err := set.Load(os.LookupEnv); err != nil {
				return err
			}
			return do(o, set)
		},
	}
	return app.Run(args)
}

func serve(ctx context.Context, o *options, args []string, stderr io.Writer) error {
	// From here on SIGHUP is a message and no longer the end of the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	spareProcessor(o.cfg.Workers)
	log := o.logger(stderr)
	b, err := lb.New(o.cfg, log)
	if err != nil {
		return err
	}
	log.Info("serving", zap.String("clients", b.Addr()), zap.String("admin", b.AdminAddr()))

	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	for {
		select {
		case <-hup:
			if err := reload(b, args); err != nil {
				log.Error("reload failed: the old settings stay", zap.Error(err))
			}
		case err := <-ran:
			return err
		}
	}
}

// spareProcessor gives Go one processor more than there are workers, each of which holds
// one also while it waits (package poll): what is not theirs would wait for up to 10 ms
// for the runtime to notice. A GOMAXPROCS in the environment stands.
func spareProcessor(workers int) {
	if workers > 0 && os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) <= workers {
		runtime.GOMAXPROCS(workers + 1)
	}
}

// reload reads the settings anew, with the flags that the program began with.
func reload(b *lb.Balancer, args []string) error {
	return parse(args, io.Discard, io.Discard, func(o *options, _ *settings.Set) error { return b.Reload(o.cfg) })
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
